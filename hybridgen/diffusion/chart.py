"""Charts: the coordinates in which a path is integrated, and the velocity there.

Every path maps to the straight line by equal signal-to-noise: y = x / (alpha + sigma) at u = sigma / (alpha + sigma),
where the velocity is noise - clean whatever the schedule was. So one step rule serves every path. A path with slopes
can also be integrated as it is, which matters to who compares numbers: steps that are straight on one are not on the
other.

Source: the change of variables of DDIM (arXiv:2010.02502), section 4.3, for any alpha and sigma.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import LINEAR, Curve, Path
from hybridgen.system.errors import UserError

Along = Literal["line", "path"]

Estimate = tuple[Tensor, Tensor, Tensor | None]
"""Clean value and noise, (B, n, C), with x_t = alpha clean + sigma noise; and, where a variance is learned, the share f
of the way from beta tilde to beta that the logarithm of the step's variance has gone. A share, because both ends
depend on the solver's step."""

Predict = Callable[[Tensor, Tensor], Estimate]
"""The estimate at x (B, n, C) and t (B, n)."""


@dataclass(frozen=True)
class Chart:
    """A path, on the straight line or as it is. Times t are the path's own; `place` and `curve` are the chart's.

    Args:
        path: what the network was trained on.
        along: "line", or "path", which needs slopes.
    """

    path: Path
    along: Along = "line"

    def __post_init__(self) -> None:
        if self.along == "path" and not isinstance(self.path, Curve):
            raise UserError("along: a table of noise levels has no slopes to go along; use 'line'")

    @property
    def curve(self) -> Curve:
        """The path as the chart shows it."""
        return self.path if self.along == "path" and isinstance(self.path, Curve) else LINEAR

    def place(self, t: float) -> float:
        """The chart's time."""
        return t if self.along == "path" else self.path.sigma(t) / self._stretch(t)

    def enter(self, x: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n C"]:
        """x_t on the chart."""
        return x if self.along == "path" else x / self._stretch(t)

    def leave(self, y: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n C"]:
        """Back to x_t; at t = 0 they are the same."""
        return y if self.along == "path" or t == 0 else y * self._stretch(t)

    def estimate(self, predict: Predict, y: Float[Tensor, "B n C"], t: float) -> tuple[Tensor, Tensor]:
        """What the network takes for clean value and noise at this point of the chart."""
        x = y if self.along == "path" else y * self._stretch(t)
        clean, noise, _ = predict(x, at(y, t))
        return clean, noise

    def velocity(self, predict: Predict, y: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n C"]:
        """dy over the chart's time."""
        clean, noise = self.estimate(predict, y, t)
        place = torch.tensor([self.place(t)], dtype=y.dtype, device=y.device)
        return self.curve.velocity(clean, noise, place).to(y)

    def _stretch(self, t: float) -> float:
        return self.path.alpha(t) + self.path.sigma(t)


def at(x: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n"]:
    """One time for all positions."""
    return torch.full(x.shape[:2], t, dtype=x.dtype, device=x.device)
