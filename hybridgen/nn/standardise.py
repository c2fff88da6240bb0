"""Centre and scale each channel, by constants measured once or by one that is given."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.types import Grid


class Standardise(nn.Module):
    """(x - mean) / std for maps (B, C, *grid); the identity until `measure` has seen examples.

    Args:
        channels: C.
        scale: multiplies x, and nothing is measured; such constants are settings, so no weights file has them.
    """

    mean: Tensor  # (C,)
    std: Tensor  # (C,)

    def __init__(self, channels: int, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.zeros(channels), persistent=scale is None)
        self.register_buffer("std", torch.full((channels,), 1.0 / (scale or 1.0)), persistent=scale is None)

    @torch.no_grad()
    def measure(self, x: Float[Tensor, "B C *grid"]) -> None:
        """Sets mean and standard deviation of each channel to those of x; a constant channel and a given scale stay."""
        if self.scale is not None:
            return
        flat = x.float().transpose(0, 1).flatten(1)
        self.mean.copy_(flat.mean(1))
        std = flat.std(1)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Into units of the standard deviation."""
        return (x - self._as_map(self.mean, x)) / self._as_map(self.std, x)

    def inverse(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Back to the units that were measured."""
        return x * self._as_map(self.std, x) + self._as_map(self.mean, x)

    def empty(self, batch: int, grid: Grid) -> Float[Tensor, "B C *grid"]:
        """What zero in the measured units looks like: the blank canvas."""
        return self._as_map(-self.mean / self.std, grid).expand(batch, -1, *grid).contiguous()

    @staticmethod
    def _as_map(v: Tensor, like: Tensor | Grid) -> Tensor:
        dims = like.dim() - 2 if isinstance(like, Tensor) else len(like)
        return v.view(-1, *[1] * dims)
