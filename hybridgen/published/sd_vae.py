"""Stable Diffusion's autoencoder in the layout of diffusers, as DiT and SiT load it; four levels.

`stabilityai/sd-vae-ft-mse` and `-ema`. The layout of the first release is that of `kl16.py`.
"""

from collections.abc import Sequence

from hybridgen.published.conv_rules import MIX, Rules, as_map, attention, block, ends
from hybridgen.published.keymap import KeyMap, Move, layer

LEVELS = 4
ENDS = {"conv_in": "inp", "conv_norm_out": "norm", "conv_out": "out"}
NEW, OLD = ("to_q", "to_k", "to_v", "to_out\\.0"), ("query", "key", "value", "proj_attn")  # names of two releases


def _middle(ours: str, names: Sequence[str]) -> Rules:
    official, own = rf"{ours}\.mid_block\.attentions\.0", f"tokenizer.{ours}.middle.1"
    *rules, out = attention(official, own, "group_norm", names[:3], names[3])
    return [*rules, Move(out.official, out.ours, as_map)]


def _side(ours: str) -> Rules:
    middle = f"tokenizer.{ours}.middle"
    return [
        *ends(ours, ENDS),
        *block(rf"{ours}\.mid_block\.resnets\.0", f"{middle}.0", "conv_shortcut"),
        *block(rf"{ours}\.mid_block\.resnets\.1", f"{middle}.2", "conv_shortcut"),
        *_middle(ours, NEW),
        *_middle(ours, OLD),
    ]


def _level(official: str, ours: str, resize: str) -> Rules:
    number = official.count("(") + 1  # of the group that counts blocks
    return [
        *block(rf"{official}\.resnets\.(\d+)", rf"{ours}.blocks.\{number}", "conv_shortcut"),
        layer(rf"{official}\.{resize}\.0\.conv", f"{ours}.resize.conv"),
    ]


KEYS = KeyMap(
    family="sd vae",
    signs=(r"decoder\.mid_block\.resnets\.0\.conv1\.weight", r"quant_conv\.weight"),
    rules=[
        *_side("encoder"),
        *_side("decoder"),
        *_level(r"encoder\.down_blocks\.(\d+)", r"tokenizer.encoder.levels.\1", "downsamplers"),
        *(  # the decoder numbers its levels coarse to fine
            rule
            for i in range(LEVELS)
            for rule in _level(rf"decoder\.up_blocks\.{LEVELS - 1 - i}", f"tokenizer.decoder.levels.{i}", "upsamplers")
        ),
        *MIX,
    ],
)
