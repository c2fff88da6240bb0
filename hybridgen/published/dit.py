"""DiT (facebookresearch/DiT) and SiT (willisma/SiT): one network under the same names; the experiment says which.

Their trainers keep averaged weights under `ema`, which their sampling takes.
"""

from einops import rearrange

from hybridgen.published.keymap import KeyMap, Move, layer

_NET, _BLOCK = "residual_head.net", r"residual_head.net.blocks.\1"

KEYS = KeyMap(
    family="DiT or SiT",
    signs=(r"x_embedder\.proj\.weight", r"t_embedder\.mlp\.0\.bias", r"y_embedder\.embedding_table\.weight"),
    rules=[
        Move(r"y_embedder\.embedding_table\.weight", "conditioner.table.weight"),
        Move(
            r"x_embedder\.proj\.weight",
            f"{_NET}.embed_x.weight",
            lambda w: rearrange(w, "E C p q -> E (p q C)"),  # a convolution with the stride of its kernel
        ),
        Move(r"x_embedder\.proj\.bias", f"{_NET}.embed_x.bias"),
        Move(r"pos_embed", f"{_NET}.places", lambda table: table[0]),
        layer(r"t_embedder\.mlp\.(\d)", rf"{_NET}.embed_t.mlp.\1"),
        layer(r"blocks\.(\d+)\.adaLN_modulation\.1", f"{_BLOCK}.modulation.linear"),
        layer(r"blocks\.(\d+)\.attn\.qkv", f"{_BLOCK}.attention.project"),
        layer(r"blocks\.(\d+)\.attn\.proj", f"{_BLOCK}.attention.out"),
        layer(r"blocks\.(\d+)\.mlp\.fc1", f"{_BLOCK}.mlp.0"),
        layer(r"blocks\.(\d+)\.mlp\.fc2", f"{_BLOCK}.mlp.2"),
        layer(r"final_layer\.adaLN_modulation\.1", f"{_NET}.modulation.linear"),
        layer(r"final_layer\.linear", f"{_NET}.out"),
    ],
)
