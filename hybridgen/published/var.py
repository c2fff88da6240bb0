"""VAR's generators: `var_d16.pth` to `var_d36.pth`."""

from hybridgen.published.keymap import KeyMap, Move
from hybridgen.published.scale_rules import reordered, scale_rules, table

KEYS = KeyMap(
    family="var",
    signs=(r"blocks\.0\.attn\.mat_qkv\.weight", r"pos_1LC", r"class_emb\.weight"),
    rules=[
        Move(r"class_emb\.weight", "conditioner.table.weight"),
        Move(r"pos_start", "backbone.start"),
        Move(r"shared_ada_lin\.1\.(weight|bias)", r"backbone.shared.linear.\1", reordered((4, 2, 0, 5, 3, 1))),
        Move(r"blocks\.(\d+)\.ada_gss", r"backbone.blocks.\1.modulation.table", table),
        *scale_rules(r"attn\.mat_qkv"),
    ],
)
