"""The diffusion head of MAR, which HART took over under the same names."""

from hybridgen.published.keymap import Move


def token_head(prefix: str) -> list[Move]:
    """Rules for its network, which stands at `prefix`.net."""
    official, own = rf"{prefix}\.net", "residual_head.net"
    block, ours = rf"{official}\.res_blocks\.(\d+)", rf"{own}.blocks.\1"
    return [
        Move(rf"{official}\.time_embed\.mlp\.(\d)\.(weight|bias)", rf"{own}.embed_t.mlp.\1.\2"),
        Move(rf"{official}\.cond_embed\.(weight|bias)", rf"{own}.embed_hidden.\1"),
        Move(rf"{official}\.input_proj\.(weight|bias)", rf"{own}.embed_x.\1"),
        Move(rf"{block}\.in_ln\.(weight|bias)", rf"{ours}.norm.\2"),
        Move(rf"{block}\.mlp\.(\d)\.(weight|bias)", rf"{ours}.mlp.\2.\3"),
        Move(rf"{block}\.adaLN_modulation\.1\.(weight|bias)", rf"{ours}.modulation.linear.\2"),
        Move(rf"{official}\.final_layer\.adaLN_modulation\.1\.(weight|bias)", rf"{own}.modulation.linear.\1"),
        Move(rf"{official}\.final_layer\.linear\.(weight|bias)", rf"{own}.out.\1"),
    ]
