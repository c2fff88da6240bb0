"""LlamaGen's generators: `c2i_B_256.pt` and the like, by class, and `t2i_XL_stage1_256.pt`, by text."""

from hybridgen.published.keymap import Ignore, Join, KeyMap, Move
from hybridgen.published.scale_rules import side_by_side

_LAYER, _OURS = r"layers\.(\d+)\.", r"backbone.blocks.\1."

KEYS = KeyMap(
    family="llamagen",
    signs=(r"tok_embeddings\.weight", r"layers\.0\.attention\.wqkv\.weight"),
    rules=[
        Move(r"cls_embedding\.embedding_table\.weight", "conditioner.table.weight"),
        Move(r"cls_embedding\.cap_proj\.fc1\.weight", "conditioner.project.0.weight"),
        Move(r"cls_embedding\.cap_proj\.fc2\.weight", "conditioner.project.2.weight"),
        Move(r"cls_embedding\.uncond_embedding", "conditioner.null"),
        Move(r"tok_embeddings\.weight", "backbone.table.weight"),
        Move(_LAYER + r"attention\.wqkv\.weight", _OURS + "attention.project.weight"),
        Move(_LAYER + r"attention\.wo\.weight", _OURS + "attention.out.weight"),
        Join(
            _LAYER + r"feed_forward\.w1\.weight", [r"layers.\1.feed_forward.w3.weight"],
            _OURS + "mlp.gate_and_up.weight", side_by_side,
        ),
        Move(_LAYER + r"feed_forward\.w2\.weight", _OURS + "mlp.out.weight"),
        Move(_LAYER + r"attention_norm\.weight", _OURS + "norm_attention.weight"),
        Move(_LAYER + r"ffn_norm\.weight", _OURS + "norm_mlp.weight"),
        Move(r"norm\.weight", "code_head.norm.weight"),
        Move(r"output\.weight", "code_head.out.weight"),
        Ignore(r"freqs_cis", "angles of the rotary positions: they follow"),
    ],
)  # fmt: skip
