"""Stochastic draws along any path: the reverse equation, with any amount of fresh noise.

A family of equations has the marginals of a path, one equation for each rate w(t) >= 0 of fresh noise:
dx = (v + w noise / sigma) dt backwards in time, plus sqrt(2 w) of a Wiener process; w = 0 is the probability flow.

Sources: SiT (arXiv:2401.08740), eq. 6 and section 3.4 for the choices of w; score SDE (arXiv:2011.13456), appendix D,
for the mean of the last step; stochastic Heun as in EDM (arXiv:2206.00364), algorithm 2, noise first.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.chart import Along, Chart
from hybridgen.diffusion.path import Curve, Path, forward_rate
from hybridgen.diffusion.solvers import Draw, StepSolver, span
from hybridgen.system.errors import UserError

_ROUNDING = 1e-9  # below this a share counts as 0


@dataclass(frozen=True, kw_only=True)
class SDE(StepSolver):
    """Euler-Maruyama or Heun steps of the reverse equation, and a last step without noise.

    Args:
        method: how a step with noise is taken: "euler", or "heun" with two evaluations.
        rate: the rate w(t) of fresh noise: "sigma"; "linear": t; "decreasing": (1 - norm cos(pi t))^2 / 4; "bump":
            sin^2(pi t); "constant": 1; "forward": what the forward equation adds, infinite at t = 1 where alpha is 0.
        norm: factor of w; in "decreasing" it stands inside the square.
        last: the last step: "clean": to the clean value the network sees (Tweedie); "mean": a step of the equation
            without its noise; "flow": a step of the probability flow; "none": the draw ends at `stop` as it is.
        last_size: length of the last step, where the path is not a table.
        along: where steps are straight: on the line of equal signal-to-noise, or on the path itself.
        start: time at which the noise is put; below 1 for networks that are undefined there.
        stop: where "none" ends; above 0, for there the noise has no direction.
    """

    method: Literal["euler", "heun"] = "euler"
    rate: Literal["sigma", "linear", "decreasing", "bump", "constant", "forward"] = "sigma"
    norm: Annotated[float, Ge(0)] = 1.0
    last: Literal["clean", "mean", "flow", "none"] = "clean"
    last_size: Annotated[float, Gt(0), Lt(1)] = 0.04
    along: Along = "line"
    start: Annotated[float, Gt(0), Le(1)] = 1.0
    stop: Annotated[float, Ge(0), Lt(1)] = 0.0

    def __post_init__(self) -> None:
        if self.last == "none" and self.stop == 0:
            raise UserError(
                "stop: without a last step the draw must end above 0; set stop to 0.001, or last to 'clean'"
            )
        if self.last != "none" and self.stop > 0:
            raise UserError(f"stop: the last step '{self.last}' goes to 0; set stop to 0, or last to 'none'")

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = x_t + (t - s) drift(x_t) + sqrt(2 w (t - s)) noise, where drift = -(velocity + w noise / sigma).

        Heun adds the noise first, then takes the mean of the drifts at both ends. Onto s = 0 no noise is added.
        """
        chart = self.chart(draw.path)
        if s == 0:
            return self._last_step(chart, draw, x, t)
        width = chart.place(t) - chart.place(s)
        added = math.sqrt(2 * self._rate(chart, t) * width) * draw.fresh(x)
        if self.method == "euler":
            return x + width * self._drift(chart, draw, x, t) + added
        x = x + added
        first = self._drift(chart, draw, x, t)
        return x + 0.5 * width * (first + self._drift(chart, draw, x + width * first, s))

    @property
    def stochastic(self) -> bool:
        """Every step but the last adds noise."""
        return True

    def chart(self, path: Path) -> Chart:
        """The line, or the path itself."""
        return Chart(path, self.along)

    def times(self, path: Path, steps: int) -> list[float]:
        """Equal intervals and the last step's own; on a table its entries."""
        if self.last == "none":
            return span(path, steps, self.start, self.stop)
        if not isinstance(path, Curve):
            return span(path, steps, self.start, 0.0)
        if steps == 1:
            return [self.start, 0.0]
        return [*span(path, steps - 1, self.start, self.last_size), 0.0]

    def draws(self, steps: int) -> int:
        """One per step, except for the last."""
        return steps if self.last == "none" else steps - 1

    def evaluations(self, path: Path, steps: int) -> int:
        """One or two per step; one for the last."""
        return steps if self.method == "euler" else steps + self.draws(steps)

    def _last_step(self, chart: Chart, draw: Draw, x: Tensor, t: float) -> Tensor:
        """From x_t to t = 0, without noise."""
        if self.last == "clean":
            return chart.estimate(draw.predict, x, t)[0].to(x)
        if self.last == "flow":
            return x - chart.place(t) * chart.velocity(draw.predict, x, t)
        return x + chart.place(t) * self._drift(chart, draw, x, t)

    def _drift(self, chart: Chart, draw: Draw, x: Tensor, t: float) -> Tensor:
        """The change of x while time falls by one: -(velocity + w noise / sigma)."""
        clean, noise = chart.estimate(draw.predict, x, t)
        place = chart.place(t)
        velocity = chart.curve.velocity(clean, noise, torch.tensor([place], dtype=x.dtype, device=x.device))
        return -(velocity + self._rate(chart, t) / chart.curve.sigma(place) * noise).to(x)

    def _rate(self, chart: Chart, t: float) -> float:
        """w at the chart's time."""
        curve, u = chart.curve, chart.place(t)
        if self.rate == "decreasing":
            return 0.25 * (1 - self.norm * math.cos(math.pi * u)) ** 2
        if self.rate == "forward":
            if curve.alpha(u) < _ROUNDING:
                raise UserError(f"rate: 'forward' is infinite at t = {u:g} on this path; set start below 1, to 0.999")
            return self.norm * forward_rate(curve, u)
        return self.norm * {
            "sigma": curve.sigma(u), "linear": u, "bump": math.sin(math.pi * u) ** 2, "constant": 1.0,
        }[self.rate]  # fmt: skip
