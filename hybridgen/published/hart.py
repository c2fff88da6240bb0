"""HART's generators: the folder `llm` of a release; `ema_model.bin` in it holds the averaged weights."""

from hybridgen.published.keymap import Join, KeyMap, Move, layer
from hybridgen.published.scale_rules import scale_rules, side_by_side, table
from hybridgen.published.token_head import token_head

_BLOCK, _OURS = r"blocks\.(\d+)\.", r"backbone.blocks.\1."

KEYS = KeyMap(
    family="hart",
    signs=(r"blocks\.0\.attn\.qkv_proj\.weight", r"diffloss\.net\.input_proj\.weight"),
    rules=[
        Move(r"context_norm\.weight", "conditioner.norm.weight"),
        layer("context_embed", "conditioner.project"),
        layer(r"lvl_embed\.mlp\.(\d)", r"backbone.places.level_net.\1"),
        Move(_BLOCK + r"scale_shift_table", _OURS + "modulation.table", table),
        Move(_BLOCK + r"ln_wo_grad\.weight", _OURS + "norm_attention.weight"),
        Join(
            _BLOCK + r"ffn\.gate_proj\.weight", [r"blocks.\1.ffn.up_proj.weight"],
            _OURS + "mlp.gate_and_up.weight", side_by_side,
        ),
        Move(_BLOCK + r"ffn\.down_proj\.weight", _OURS + "mlp.out.weight"),
        Move(r"head_nm\.ln_wo_grad\.weight", "code_head.norm.weight"),
        Move(r"decoder_norm\.weight", "join.norm.weight"),
        *token_head("diffloss"),
        *scale_rules(r"attn\.qkv_proj"),
    ],
)  # fmt: skip
