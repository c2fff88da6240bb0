"""LlamaGen's VQ tokenizers, VQ-16 and VQ-8: `vq_ds16_c2i.pt` and `vq_ds8_c2i.pt`, names under `model`.

Their decoder numbers its levels coarse to fine, so how many there are decides which is which: one map for each number.
The encoder's attention stands on its coarsest level, and shows it.
"""

from hybridgen.published.conv_rules import MIX, Rules, attention, block, ends
from hybridgen.published.keymap import Ignore, KeyMap, Move, layer


def _side(ours: str) -> Rules:
    middle = f"tokenizer.{ours}.middle"
    return [
        *ends(ours),
        *block(rf"{ours}\.mid\.0", f"{middle}.0"),
        *attention(rf"{ours}\.mid\.1", f"{middle}.1"),
        *block(rf"{ours}\.mid\.2", f"{middle}.2"),
    ]


def _level(official: str, ours: str, resize: str) -> Rules:
    return [
        *block(rf"{official}\.res\.(\d+)", rf"{ours}.blocks.\1"),
        *attention(rf"{official}\.attn\.(\d+)", rf"{ours}.attention.\1"),
        layer(rf"{official}\.{resize}\.conv", f"{ours}.resize.conv"),
    ]


def keys(levels: int) -> KeyMap:
    """The map of a tokenizer with so many levels."""
    rules: Rules = [*_side("encoder"), *_side("decoder")]
    for i in range(levels):
        rules += _level(rf"encoder\.conv_blocks\.{i}", f"tokenizer.encoder.levels.{i}", "downsample")
        rules += _level(rf"decoder\.conv_blocks\.{levels - 1 - i}", f"tokenizer.decoder.levels.{i}", "upsample")
    return KeyMap(
        family="llamagen vq",
        signs=(rf"encoder\.conv_blocks\.{levels - 1}\.attn\.0\.q\.weight", r"quantize\.embedding\.weight"),
        rules=[
            *rules,
            *MIX,
            Move(r"quantize\.embedding\.weight", "tokenizer.quantizer.codebook.weight"),
            Ignore(r"quantize\.codebook_used", "the codes last used in training: no part of the model"),
        ],
    )


KEYS = tuple(keys(levels) for levels in range(2, 7))
