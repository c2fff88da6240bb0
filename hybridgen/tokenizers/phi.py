"""Smoothing of the enlarged maps of a pyramid: a few convolutions that scales share.

Source: VAR (arXiv:2404.02905), section 3.1; its published code says which scale takes which convolution.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.conv import CONV, zero

PhiLast = Literal["never", "training", "always"]


class Phi(nn.Module):
    """h + conv(h), which begins as h; or, with a ratio, the blend (1 - ratio) h + ratio conv(h)."""

    def __init__(self, channels: int, dims: int, ratio: float | None = None) -> None:
        super().__init__()
        self.ratio = ratio
        self.conv = CONV[dims](channels, channels, 3, padding=1)
        if ratio is None:
            zero(self.conv)

    def forward(self, h: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Same shape as h."""
        smooth = self.conv(h)
        return h + smooth if self.ratio is None else (1 - self.ratio) * h + self.ratio * smooth


class PhiStyle(ABC):
    """How enlarged maps are smoothed. Cards: registry/phi/."""

    count: int = 0  # how many phis the scales share; 0: each has its own
    last: PhiLast = "never"  # whether the finest scale has one: never, while the tokenizer learns, or always

    @abstractmethod
    def make(self, channels: int, dims: int) -> Phi | None:
        """One phi; None without any."""


@dataclass(frozen=True, kw_only=True)
class ResidualPhi(PhiStyle):
    """h + conv(h), which begins as h.

    Args:
        count: how many phis the scales share; 0: each has its own.
        last: whether the finest scale has one: never, while the tokenizer learns, or always. If always, a residual
            painted there does not give the latent back, so none may be trained.
    """

    count: Annotated[int, Ge(0)] = 0
    last: PhiLast = "never"

    def make(self, channels: int, dims: int) -> Phi:
        """A convolution that is zero at first."""
        return Phi(channels, dims)


@dataclass(frozen=True, kw_only=True)
class BlendPhi(PhiStyle):
    """(1 - ratio) h + ratio conv(h), as published pyramids have it.

    Args:
        count: how many phis the scales share; 0: each has its own.
        ratio: of the blend.
        last: whether the finest scale has one: never, while the tokenizer learns, or always. If always, a residual
            painted there does not give the latent back, so none may be trained.
    """

    count: Annotated[int, Ge(0)] = 0
    ratio: Annotated[float, Ge(0), Le(1)] = 0.5
    last: PhiLast = "never"

    def make(self, channels: int, dims: int) -> Phi:
        """A convolution of random weights."""
        return Phi(channels, dims, self.ratio)


@dataclass(frozen=True)
class NoPhi(PhiStyle):
    """Enlarged maps stay as they are."""

    def make(self, channels: int, dims: int) -> None:
        """None."""
        return


class Phis(nn.ModuleList):
    """The phi of each scale.

    Args:
        channels: C of the maps.
        dims: number of grid dimensions.
        scales: S.
        style: what each phi does, how many there are, and whether the finest scale has one.
    """

    def __init__(self, channels: int, dims: int, scales: int, style: PhiStyle) -> None:
        made = [style.make(channels, dims) for _ in range(style.count or scales - (style.last == "never"))]
        super().__init__(phi for phi in made if phi is not None)
        self.scales, self.last = scales, style.last
        self.of_scale = shared_by(style.count, scales) if style.count else tuple(range(scales))

    def smooth(self, h: Float[Tensor, "B C *grid"], s: int, learning: bool) -> Float[Tensor, "B C *grid"]:
        """The map of scale s, smoothed if the scale has a phi."""
        finest = s == self.scales - 1
        plain = len(self) == 0 or (finest and (self.last == "never" or (self.last == "training" and not learning)))
        return h if plain else self[self.of_scale[s]](h)


def shared_by(count: int, scales: int) -> tuple[int, ...]:
    """Which of `count` phis each scale takes: the one whose tick is nearest to s / (S - 1); a lone scale is the last.

    Ticks are evenly spread, 1 / (2 count) from the ends, and of four 1 / (3 count). In float64 and in this order of
    operations: scale 2 of 10 lies as far from one tick as from the next, and rounding decides.
    """
    margin = 1 / 3 / count if count == 4 else 1 / 2 / count
    ticks = np.linspace(margin, 1 - margin, count)
    places = [s / (scales - 1) if scales > 1 else 1.0 for s in range(scales)]
    return tuple(int(np.abs(ticks - place).argmin()) for place in places)
