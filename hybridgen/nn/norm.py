"""Norms by name.

Sources: layer norm (arXiv:1607.06450), eq. 4; root mean square norm (arXiv:1910.07467), eq. 4.
"""

from typing import Literal

from torch import nn

NormKind = Literal["layer", "rms"]


def make_norm(kind: NormKind, width: int, eps: float = 1e-6, gain: bool = True) -> nn.Module:
    """A norm over the last axis. `gain`: with parameters of its own, a weight and, in a layer norm, a bias."""
    made = nn.RMSNorm if kind == "rms" else nn.LayerNorm
    return made(width, eps=eps, elementwise_affine=gain)
