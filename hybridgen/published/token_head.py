"""The diffusion head of MAR, which HART took over under the same names."""

from hybridgen.published.keymap import Move, layer


def token_head(prefix: str) -> list[Move]:
    """Rules for its network, which stands at `prefix`.net."""
    official, own = rf"{prefix}\.net", "residual_head.net"
    block, ours = rf"{official}\.res_blocks\.(\d+)", rf"{own}.blocks.\1"
    return [
        layer(rf"{official}\.time_embed\.mlp\.(\d)", rf"{own}.embed_t.mlp.\1"),
        layer(rf"{official}\.cond_embed", f"{own}.embed_hidden"),
        layer(rf"{official}\.input_proj", f"{own}.embed_x"),
        layer(rf"{block}\.in_ln", f"{ours}.norm"),
        layer(rf"{block}\.mlp\.(\d)", rf"{ours}.mlp.\2"),
        layer(rf"{block}\.adaLN_modulation\.1", f"{ours}.modulation.linear"),
        layer(rf"{official}\.final_layer\.adaLN_modulation\.1", f"{own}.modulation.linear"),
        layer(rf"{official}\.final_layer\.linear", f"{own}.out"),
    ]
