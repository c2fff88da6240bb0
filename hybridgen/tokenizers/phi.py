"""What smooths the enlarged maps of a pyramid: a few convolutions that scales share.

Source: VAR (arXiv:2404.02905), section 3.1; which scale takes which convolution is its published code's rule.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.conv import CONV, zero

PhiKind = Literal["residual", "blend", "none"]
PhiLast = Literal["never", "training", "always"]


class Phi(nn.Module):
    """h + conv(h), zero at the start, or the blend (1 - ratio) h + ratio conv(h)."""

    def __init__(self, channels: int, dims: int, kind: PhiKind, ratio: float) -> None:
        super().__init__()
        self.kind, self.ratio = kind, ratio
        self.conv = CONV[dims](channels, channels, 3, padding=1)
        if kind == "residual":
            zero(self.conv)

    def forward(self, h: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Same shape as h."""
        smooth = self.conv(h)
        return h + smooth if self.kind == "residual" else (1 - self.ratio) * h + self.ratio * smooth


class Phis(nn.ModuleList):
    """The phi of each scale.

    Args:
        channels: C of the maps.
        dims: number of grid dimensions.
        scales: S.
        kind: what each phi does.
        count: how many there are; 0: one a scale.
        ratio: of the blend.
        last: whether the finest scale has one: never, only while the tokenizer learns, or always.
    """

    def __init__(
        self, channels: int, dims: int, scales: int, kind: PhiKind, count: int, ratio: float, last: PhiLast
    ) -> None:
        own = scales - (last == "never")
        number = 0 if kind == "none" else count or own
        super().__init__(Phi(channels, dims, kind, ratio) for _ in range(number))
        self.scales, self.last = scales, last
        self.of_scale = shared_by(count, scales) if count else tuple(range(scales))

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
