"""DiT (facebookresearch/DiT) and SiT (willisma/SiT): one network under the same names; the experiment says which.

Their trainers keep averaged weights under `ema`, which their sampling takes.
"""

from einops import rearrange

from hybridgen.published.keymap import KeyMap, Move

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
        Move(r"t_embedder\.mlp\.(\d)\.(weight|bias)", rf"{_NET}.embed_t.mlp.\1.\2"),
        Move(r"blocks\.(\d+)\.adaLN_modulation\.1\.(weight|bias)", rf"{_BLOCK}.modulation.linear.\2"),
        Move(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", rf"{_BLOCK}.attention.project.\2"),
        Move(r"blocks\.(\d+)\.attn\.proj\.(weight|bias)", rf"{_BLOCK}.attention.out.\2"),
        Move(r"blocks\.(\d+)\.mlp\.fc1\.(weight|bias)", rf"{_BLOCK}.mlp.0.\2"),
        Move(r"blocks\.(\d+)\.mlp\.fc2\.(weight|bias)", rf"{_BLOCK}.mlp.2.\2"),
        Move(r"final_layer\.adaLN_modulation\.1\.(weight|bias)", rf"{_NET}.modulation.linear.\1"),
        Move(r"final_layer\.linear\.(weight|bias)", rf"{_NET}.out.\1"),
    ],
)
