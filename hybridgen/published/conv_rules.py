"""Rules for the networks around a latent: the same layers stand under three naming schemes in published weights.

Levels are numbered fine to coarse in the encoder everywhere; decoders number theirs either way, which the maps of the
families take care of.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from hybridgen.published.keymap import Join, Move, layer

Rules = list[Move | Join]

ENDS: Mapping[str, str] = MappingProxyType({"conv_in": "inp", "norm_out": "norm", "conv_out": "out"})

MIX: Rules = [layer("quant_conv", "tokenizer.encoder.mix"), layer("post_quant_conv", "tokenizer.decoder.mix")]
"""The convolutions next to the latent."""


def ends(ours: str, names: Mapping[str, str] = ENDS) -> Rules:
    """First and last layers of the encoder or the decoder, `ours`."""
    return [layer(rf"{ours}\.{name}", f"tokenizer.{ours}.{own}") for name, own in names.items()]


def block(official: str, ours: str, skip: str = "nin_shortcut") -> Rules:
    """A residual block."""
    names = {"norm1": "first_norm", "conv1": "first", "norm2": "second_norm", "conv2": "second", skip: "skip"}
    return [layer(rf"{official}\.{name}", f"{ours}.{own}") for name, own in names.items()]


def attention(
    official: str, ours: str, norm: str = "norm", qkv: Sequence[str] = ("q", "k", "v"), out: str = "proj_out"
) -> Rules:
    """Attention over a map: its three projections apart, or already one."""
    first, *others = (rf"{official}\.{name}" for name in qkv)
    joined = _joined(first, others, f"{ours}.qkv") if others else layer(first, f"{ours}.qkv")
    return [layer(rf"{official}\.{norm}", f"{ours}.norm"), joined, layer(rf"{official}\.{out}", f"{ours}.out")]


def side(ours: str, level: str, resize: str, qkv: Sequence[str] = ("q", "k", "v")) -> Rules:
    """Encoder or decoder in the layout of latent diffusion; both number their levels fine to coarse."""
    official, own, middle = rf"{ours}\.{level}\.(\d+)", rf"tokenizer.{ours}.levels.\1", f"tokenizer.{ours}.middle"
    return [
        *ends(ours),
        *block(rf"{official}\.block\.(\d+)", rf"{own}.blocks.\2"),
        *attention(rf"{official}\.attn\.(\d+)", rf"{own}.attention.\2", qkv=qkv),
        layer(rf"{official}\.{resize}\.conv", f"{own}.resize.conv"),
        *block(rf"{ours}\.mid\.block_1", f"{middle}.0"),
        *attention(rf"{ours}\.mid\.attn_1", f"{middle}.1", qkv=qkv),
        *block(rf"{ours}\.mid\.block_2", f"{middle}.2"),
    ]


def as_map(weight: Tensor) -> Tensor:
    """A linear layer's matrix as the kernel of a 1x1 convolution in two dimensions; a bias or a kernel as it is."""
    return weight[:, :, None, None] if weight.dim() == 2 else weight


def _joined(first: str, others: Sequence[str], ours: str) -> Join:
    move = layer(first, ours)
    return Join(move.official, [_template(layer(o, "").official) for o in others], move.ours, _stacked)


def _stacked(*parts: Tensor) -> Tensor:
    return torch.cat([as_map(part) for part in parts])


def _template(pattern: str) -> str:
    """A pattern as a template: `\\1` for its first group, and so on."""
    numbers = iter(range(1, 10))
    return re.sub(r"\([^()]*\)", lambda _: rf"\{next(numbers)}", pattern).replace(r"\.", ".")
