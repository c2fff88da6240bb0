"""The scale of a head's targets: mean and standard deviation per channel, measured once or given.

A target is normalised to mean 0 and standard deviation 1: a residual of standard deviation 0.1, left as it is, loses
half of its amplitude in a draw of 8 steps.
"""

from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Normalise = Literal["measured", "none", "constant"]

_FLAT = 1e-6  # a channel that varies less than this is left unscaled


@runtime_checkable
class Scaled(Protocol):
    """A head with a normaliser."""

    mean: Tensor  # (C,)
    std: Tensor  # (C,)


def first_scale(channels: int, normalise: Normalise, constant: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, before anything is measured."""
    return torch.zeros(channels), torch.full((channels,), constant if normalise == "constant" else 1.0)


def measure(head: Scaled, targets: Float[Tensor, "M C"], normalise: Normalise) -> None:
    """Sets mean and standard deviation per channel to those of the targets, if `normalise` says so."""
    if normalise == "measured":
        deviation, mean = torch.std_mean(targets.float(), 0, correction=0)
        head.mean.copy_(mean)
        head.std.copy_(torch.where(deviation > _FLAT, deviation, torch.ones_like(deviation)))
