"""MAR (LTH14/mar): the generator. Averaged weights lie under `model_ema`; the tokenizer is a file apart."""

from hybridgen.published.keymap import KeyMap, Move
from hybridgen.published.token_head import token_head


def _stack(side: str) -> list[Move]:
    """Encoder or decoder."""
    official, own = rf"{side}_blocks\.(\d+)", rf"backbone.{side}.blocks.\1"
    return [
        Move(rf"{side}_pos_embed_learned", f"backbone.{side}.places", lambda table: table[0]),
        Move(rf"{official}\.norm1\.(weight|bias)", rf"{own}.norm_attention.\2"),
        Move(rf"{official}\.attn\.qkv\.(weight|bias)", rf"{own}.attention.project.\2"),
        Move(rf"{official}\.attn\.proj\.(weight|bias)", rf"{own}.attention.out.\2"),
        Move(rf"{official}\.norm2\.(weight|bias)", rf"{own}.norm_mlp.\2"),
        Move(rf"{official}\.mlp\.fc1\.(weight|bias)", rf"{own}.mlp.0.\2"),
        Move(rf"{official}\.mlp\.fc2\.(weight|bias)", rf"{own}.mlp.2.\2"),
        Move(rf"{side}_norm\.(weight|bias)", rf"backbone.{side}.norm.\1"),
    ]


KEYS = KeyMap(
    family="MAR generator",
    signs=(r"fake_latent", r"encoder_pos_embed_learned", r"diffusion_pos_embed_learned"),
    rules=[
        Move(r"class_emb\.weight", "conditioner.table.weight"),
        Move(r"fake_latent", "conditioner.null"),
        Move(r"z_proj\.(weight|bias)", r"backbone.inp.\1"),
        Move(r"z_proj_ln\.(weight|bias)", r"backbone.norm_places.\1"),
        *_stack("encoder"),
        Move(r"decoder_embed\.(weight|bias)", r"backbone.bridge.\1"),
        Move(r"mask_token", "backbone.mask", lambda token: token[0, 0]),
        *_stack("decoder"),
        Move(r"diffusion_pos_embed_learned", "backbone.out_places", lambda table: table[0]),
        *token_head("diffloss"),
    ],
)
