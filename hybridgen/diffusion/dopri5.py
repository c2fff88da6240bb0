"""The adaptive solver of the probability flow: steps as long as a tolerance allows, each row at its own pace.

A row's steps depend on that row alone, so a sample does not depend on its batch. It works on the straight line of equal
signal-to-noise, which serves every path.

Source: Dormand and Prince (1980), "A family of embedded Runge-Kutta formulae", table 2, RK5(4)7M; the step's length by
Hairer, Norsett, Wanner, "Solving ordinary differential equations I", section II.4.
Differs from common libraries: no row's error is averaged with another's, and no output is interpolated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.chart import Predict
from hybridgen.diffusion.path import ENTRIES, Path
from hybridgen.diffusion.solvers import Solver, start_of
from hybridgen.system.errors import UserError

_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # fifth order: where the step arrives
)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
_ERROR = tuple(fifth - fourth for fifth, fourth in zip((*_STAGES[-1], 0.0), _FOURTH, strict=True))
_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0  # of Hairer et al.
_ATTEMPTS = 1000

Field = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Dopri5(Solver):
    """Fifth order with an embedded fourth for the error. No step is longer than 1 / steps; 1 leaves all to the error.

    The number of evaluations is known afterwards: six per step, accepted or not, and one at the start.

    Args:
        rtol: allowed error of a step, relative to the value (root mean square over a row).
        atol: allowed absolute error of a step.
    """

    rtol: Annotated[float, Gt(0)] = 1e-3
    atol: Annotated[float, Ge(0)] = 1e-6

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """Down to t = 0; where no network knows it, from the lowest level by one step of first order.

        Raises:
            UserError: a row takes over 1000 steps.
        """
        field, (first, end) = _field(predict, path), _ends(path)
        y = start_of(noise, temperature) / (path.alpha(1.0) + path.sigma(1.0))
        u = torch.full(y.shape[:1], first, dtype=torch.float64, device=y.device)
        longest = (first - end) / steps
        width, slope = torch.full_like(u, longest), field(y, u)
        for _ in range(_ATTEMPTS):
            going = u > end
            if not going.any():
                return y - _wide(u, y) * field(y, u) if end > 0 else y
            width = torch.minimum(width, u - end).where(going, 0.0)
            arrived, last_slope, error = _step(field, y, u, width, slope)
            off = self._off(error, y, arrived)
            taken = going & (off <= 1)
            lower = torch.where(width < u - end, u - width, end)  # exactly the end, whatever the rounding
            u, rows = torch.where(taken, lower, u), taken[:, None, None]
            y, slope = torch.where(rows, arrived, y), torch.where(rows, last_slope, slope)
            factor = (_SAFETY * off.clamp(min=1e-10) ** -0.2).clamp(_LEAST, _MOST)
            width = (width * factor).clamp(max=longest)
        raise UserError(f"rtol, atol: {self.rtol:g}, {self.atol:g} asks for over {_ATTEMPTS} steps; allow more error")

    def evaluations(self, path: Path, steps: int) -> None:
        """Not known beforehand."""
        return

    def _off(self, error: Float[Tensor, "B n C"], before: Tensor, after: Tensor) -> Float[Tensor, " B"]:
        """The error of each row in units of what is allowed."""
        allowed = self.atol + self.rtol * torch.maximum(before.abs(), after.abs())
        return (error / allowed).square().mean((1, 2)).sqrt().double()


def _field(predict: Predict, path: Path) -> Field:
    """dy/du at u (B,) on the straight line."""

    def field(y: Float[Tensor, "B n C"], u: Float[Tensor, " B"]) -> Float[Tensor, "B n C"]:
        t = path.time_of(u)
        stretch = path.alpha(t) + path.sigma(t)
        clean, noise, _ = predict(y * _wide(stretch, y), t.to(y)[:, None].expand(y.shape[:2]))
        return (noise - clean).to(y)

    return field


def _ends(path: Path) -> tuple[float, float]:
    """Where the line is entered, and where it is left: at 0, or at the lowest level that a network knows."""
    first, lowest = path.sigma(1.0) / (path.alpha(1.0) + path.sigma(1.0)), 1 / ENTRIES
    return first, 0.0 if path.reaches_zero else path.sigma(lowest) / (path.alpha(lowest) + path.sigma(lowest))


def _step(
    field: Field, y: Float[Tensor, "B n C"], u: Float[Tensor, " B"], width: Float[Tensor, " B"], slope: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The point that a step of `width` down reaches, the slope there, and the error."""
    slopes, wide, arrived = [slope], _wide(width, y), y
    for node, weights in zip(_NODES, _STAGES, strict=True):
        arrived = y - wide * _sum(weights, slopes)
        slopes.append(field(arrived, u - node * width))
    return arrived, slopes[-1], wide * _sum(_ERROR, slopes)


def _sum(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return torch.stack([w * k for w, k in zip(weights, slopes, strict=True)]).sum(0)


def _wide(rows: Float[Tensor, " B"], like: Tensor) -> Float[Tensor, "B 1 1"]:
    return rows.to(like)[:, None, None]
