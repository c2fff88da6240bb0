"""MAR (LTH14/mar): the generator. Averaged weights lie under `model_ema`; the tokenizer is a file apart."""

from hybridgen.published.keymap import KeyMap, Move, layer
from hybridgen.published.token_head import token_head


def _stack(side: str) -> list[Move]:
    """Encoder or decoder."""
    official, own = rf"{side}_blocks\.(\d+)", rf"backbone.{side}.blocks.\1"
    return [
        Move(rf"{side}_pos_embed_learned", f"backbone.{side}.places", lambda table: table[0]),
        layer(rf"{official}\.norm1", f"{own}.norm_attention"),
        layer(rf"{official}\.attn\.qkv", f"{own}.attention.project"),
        layer(rf"{official}\.attn\.proj", f"{own}.attention.out"),
        layer(rf"{official}\.norm2", f"{own}.norm_mlp"),
        layer(rf"{official}\.mlp\.fc1", f"{own}.mlp.0"),
        layer(rf"{official}\.mlp\.fc2", f"{own}.mlp.2"),
        layer(f"{side}_norm", f"backbone.{side}.norm"),
    ]


KEYS = KeyMap(
    family="MAR generator",
    signs=(r"fake_latent", r"encoder_pos_embed_learned", r"diffusion_pos_embed_learned"),
    rules=[
        Move(r"class_emb\.weight", "conditioner.table.weight"),
        Move(r"fake_latent", "conditioner.null"),
        layer("z_proj", "backbone.inp"),
        layer("z_proj_ln", "backbone.norm_places"),
        *_stack("encoder"),
        layer("decoder_embed", "backbone.bridge"),
        Move(r"mask_token", "backbone.mask", lambda token: token[0, 0]),
        *_stack("decoder"),
        Move(r"diffusion_pos_embed_learned", "backbone.out_places", lambda table: table[0]),
        *token_head("diffloss"),
    ],
)
