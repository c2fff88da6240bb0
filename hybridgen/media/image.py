"""Pixels: how an image in [-1, 1] is stored, and back."""

import torch
from torch import Tensor


def to_unit(pixels: Tensor) -> Tensor:
    """Bytes 0..255 to [-1, 1]."""
    return pixels.float() / 127.5 - 1.0


def to_bytes(x: Tensor) -> Tensor:
    """[-1, 1] to bytes, rounded: what a file would hold is what is judged."""
    return ((x.float().clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)
