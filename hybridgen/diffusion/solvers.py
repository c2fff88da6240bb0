"""Solvers: from noise to a clean value, given a network's estimate at any noise level.

The loop over the steps stands once, in `StepSolver.solve`; a solver gives one step. A head never owns its solver: one
trained head is swept over solvers and steps. x is kept in float32 and schedules in float64, also under bf16 autocast
(law: exact values, `hybridgen.laws.solvers`).

Sources: DDPM (arXiv:2006.11239), eq. 7; improved DDPM (arXiv:2102.09672), eq. 15, for the learned range; DDIM
(arXiv:2010.02502), eq. 12, 16; DPM-Solver++ (arXiv:2211.01095), algorithm 2 (2M).
Differs from DDPM and DDIM: written for any alpha and sigma, so that they also run on the straight line.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.chart import Along, Chart, Estimate, Predict, at
from hybridgen.diffusion.path import Curve, Path, Reverse, reverse
from hybridgen.diffusion.spacing import Spacing, SpacingKind
from hybridgen.system.errors import UserError

__all__ = [
    "DDIM",
    "DDPM",
    "DPMpp",
    "Draw",
    "Estimate",
    "Euler",
    "Heun",
    "Predict",
    "Solver",
    "StepSolver",
    "scaled",
    "span",
    "start_of",
]


@dataclass
class Draw:
    """What a solver works with while it draws: the network's estimate, the path, and the noise given for the draw.

    Args:
        predict: the network's estimate at any noise level.
        path: what the network was trained on.
        noise: the start, then one for each step that adds noise.
        temperature: scales that noise.
        k: index of the present step.
        last: the time and the clean value of the step before, for solvers that remember them.
    """

    predict: Predict
    path: Path
    noise: Float[Tensor, "B m n C"]
    temperature: float
    k: int = 0
    last: tuple[float, Tensor] | None = None

    def estimate(self, x: Float[Tensor, "B n C"], t: float) -> Estimate:
        """The network's estimate for x_t, at one time for all positions."""
        return self.predict(x, at(x, t))

    def fresh(self, like: Float[Tensor, "B n C"]) -> Float[Tensor, "B n C"]:
        """The noise of the present step, times the temperature."""
        return scaled(self.noise[:, 1 + self.k].to(like), self.temperature)


class Solver(ABC):
    """Integrates from t = 1 to t = 0. At temperature 1 it draws from the model's own distribution."""

    @abstractmethod
    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """A draw from `noise`, which holds the start, then one entry for each step that adds noise.

        `temperature` scales the noise that the steps add; where they add none, it scales the start.
        """

    def times(self, path: Path, steps: int) -> list[float]:
        """The times from the start to the end of a draw, falling; a step leads from each to the next."""
        return path.times(steps).tolist()

    def draws(self, steps: int) -> int:
        """How many noises a draw takes beside its start."""
        return 0

    def evaluations(self, path: Path, steps: int) -> int | None:
        """Network evaluations of one draw; None where they depend on the network, and the calls are counted."""
        return steps


class StepSolver(Solver):
    """A solver whose times are known beforehand: the loop over them; a class that derives from it gives one step."""

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """The start, then `step` from each of `times` to the next."""
        draw, times, chart = Draw(predict, path, noise, temperature), self.times(path, steps), self.chart(path)
        x = start_of(noise, 1.0 if self.stochastic else temperature)
        x = x if chart is None else chart.enter(x, times[0])
        for k, (t, s) in enumerate(pairwise(times)):
            draw.k = k
            x = self.step(draw, x, t, s)
        return x if chart is None else chart.leave(x, times[-1])

    @abstractmethod
    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """From x at time t to x at the lower time s, in the coordinates of `chart`."""

    @property
    def stochastic(self) -> bool:
        """Whether steps add noise."""
        return False

    def chart(self, path: Path) -> Chart | None:
        """The coordinates in which `step` works; None: x_t itself."""
        return None


@dataclass(frozen=True, kw_only=True)
class DDPM(StepSolver):
    """The reverse chain, in which each step is drawn from a normal distribution.

    Args:
        variance: variance of a step. "learned": as the network predicts it, "large" where it predicts none; "large":
            beta, which is right for data of unit variance, as heads have them; "small": beta tilde, which is right for
            data without variance.
        spacing: how the steps are spread over the path: from end to end, or every k-th level from the lowest
            ("stride").
        sections: steps in each of as many equal parts of the path, lowest noise first; they add up to the steps.
    """

    variance: Literal["learned", "large", "small"] = "learned"
    spacing: SpacingKind = "even"
    sections: tuple[Annotated[int, Ge(1)], ...] = ()

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = a x_t + b clean + deviation noise, with a and b of the reverse step; without noise onto s = 0."""
        clean, _, fraction = draw.estimate(x, t)
        step = reverse(draw.path, t, s)
        x = step.from_x * x + step.from_clean * clean.to(x)
        return x + self._deviation(step, fraction) * draw.fresh(x) if s > 0 else x

    @property
    def stochastic(self) -> bool:
        """Every step but the last adds noise."""
        return True

    def times(self, path: Path, steps: int) -> list[float]:
        """As spaced, then 0."""
        return path.times(steps, Spacing(kind=self.spacing, sections=self.sections)).tolist()

    def draws(self, steps: int) -> int:
        """One per step."""
        return steps

    def _deviation(self, step: Reverse[float], fraction: Tensor | None) -> float | Tensor:
        small, large = math.log(step.small), math.log(step.large)
        if self.variance == "small":
            return math.exp(0.5 * small)
        if self.variance == "large" or fraction is None:
            return math.exp(0.5 * large)
        return torch.exp(0.5 * (small + fraction.float() * (large - small)))


@dataclass(frozen=True, kw_only=True)
class DDIM(StepSolver):
    """The deterministic chain with the marginals of DDPM, or a chain between the two.

    With eta 1 it equals DDPM of small variance, with eta 0 it equals Euler.

    Args:
        eta: the fraction of DDPM's small standard deviation that each step adds: 0 none, 1 all of it.
        spacing: how the steps are spread over the path: from end to end, or every k-th level from the lowest
            ("stride").
        sections: steps in each of as many equal parts of the path, lowest noise first; they add up to the steps.
    """

    eta: Annotated[float, Ge(0), Le(1)] = 0.0
    spacing: SpacingKind = "even"
    sections: tuple[Annotated[int, Ge(1)], ...] = ()

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = alpha_s clean + sqrt(sigma_s^2 - eta^2 small) predicted noise + eta sqrt(small) fresh noise."""
        path = draw.path
        clean, toward, _ = draw.estimate(x, t)
        drawn = self.eta**2 * reverse(path, t, s).small
        x = path.alpha(s) * clean.to(x) + math.sqrt(max(path.sigma(s) ** 2 - drawn, 0.0)) * toward.to(x)
        return x + math.sqrt(drawn) * draw.fresh(x) if drawn > 0 else x

    @property
    def stochastic(self) -> bool:
        """Steps add noise where eta is not 0."""
        return self.eta > 0

    def times(self, path: Path, steps: int) -> list[float]:
        """As spaced, then 0."""
        return path.times(steps, Spacing(kind=self.spacing, sections=self.sections)).tolist()

    def draws(self, steps: int) -> int:
        """One per step where eta is not 0."""
        return steps if self.eta else 0


@dataclass(frozen=True)
class DPMpp(StepSolver):
    """DPM-Solver++ (2M): of second order, because it remembers the last clean value; one evaluation per step.

    The first step and the one onto t = 0 are of first order, and so is the step after an infinite signal-to-noise
    ratio.
    """

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = r x_t + (alpha_s - alpha_t r) (clean + h / (2 h_last) (clean - last)), with r = sigma_s / sigma_t.

        h is the gap of lambda = log(alpha / sigma). Its exponential is never formed, so alpha(1) = 0 is no problem.
        """
        path, clean = draw.path, draw.estimate(x, t)[0].to(x)
        blend, gap = clean, _lambda(path, s) - _lambda(path, t)
        if draw.last is not None:
            before, last = draw.last
            gap_before = _lambda(path, t) - _lambda(path, before)
            if math.isfinite(gap) and math.isfinite(gap_before):
                blend = clean + 0.5 * gap / gap_before * (clean - last)
        draw.last = (t, clean)
        shrink = path.sigma(s) / path.sigma(t)
        return shrink * x + (path.alpha(s) - path.alpha(t) * shrink) * blend


@dataclass(frozen=True, kw_only=True)
class Euler(StepSolver):
    """First order on the straight line, to which every path maps by equal signal-to-noise; on tables it is DDIM.

    Args:
        along: where steps are straight: on that line, or on the path itself, which must have derivatives.
        start: time at which the noise is put; below 1 for networks that are undefined there.
        stop: time at which the draw ends as it is; above 0 for networks that are undefined there.
    """

    along: Along = "line"
    start: Annotated[float, Gt(0), Le(1)] = 1.0
    stop: Annotated[float, Ge(0), Lt(1)] = 0.0

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = x_t + (s - t) velocity(x_t, t); on the line the velocity is noise - clean."""
        chart = self.chart(draw.path)
        return x + (chart.place(s) - chart.place(t)) * chart.velocity(draw.predict, x, t)

    def chart(self, path: Path) -> Chart:
        """The line, or the path itself."""
        return Chart(path, self.along)

    def times(self, path: Path, steps: int) -> list[float]:
        """Equal intervals from `start` to `stop`; on a table its entries."""
        return span(path, steps, self.start, self.stop)


@dataclass(frozen=True, kw_only=True)
class Heun(StepSolver):
    """Second order: the mean of the velocities at both ends of a step.

    The last step does so too where the path reaches t = 0; elsewhere it is Euler's, for no network knows t = 0.

    Args:
        along: where steps are straight: on the line of equal signal-to-noise, or on the path itself.
        start: time at which the noise is put; below 1 for networks that are undefined there.
        stop: time at which the draw ends as it is; above 0 for networks that are undefined there.
    """

    along: Along = "line"
    start: Annotated[float, Gt(0), Le(1)] = 1.0
    stop: Annotated[float, Ge(0), Lt(1)] = 0.0

    def step(self, draw: Draw, x: Float[Tensor, "B n C"], t: float, s: float) -> Float[Tensor, "B n C"]:
        """x_s = x_t + (s - t) (v + v') / 2, with v = velocity(x_t, t) and v' = velocity(x_t + (s - t) v, s)."""
        chart = self.chart(draw.path)
        width = chart.place(s) - chart.place(t)
        velocity = chart.velocity(draw.predict, x, t)
        if s > 0 or draw.path.reaches_zero:
            velocity = 0.5 * (velocity + chart.velocity(draw.predict, x + width * velocity, s))
        return x + width * velocity

    def chart(self, path: Path) -> Chart:
        """The line, or the path itself."""
        return Chart(path, self.along)

    def times(self, path: Path, steps: int) -> list[float]:
        """Equal intervals from `start` to `stop`; on a table its entries."""
        return span(path, steps, self.start, self.stop)

    def evaluations(self, path: Path, steps: int) -> int:
        """Two per step; one for the last where the network does not know t = 0."""
        return 2 * steps if path.reaches_zero or self.stop > 0 else 2 * steps - 1


def span(path: Path, steps: int, start: float, stop: float) -> list[float]:
    """The path's own times, or equal intervals between two others.

    Raises:
        UserError: the path is a table, which is known at its entries alone, or `start` is not above `stop`.
    """
    if (start, stop) == (1.0, 0.0):
        return path.times(steps).tolist()
    if not isinstance(path, Curve):
        raise UserError(
            "start, stop: a table of noise levels is drawn from its noisiest entry down to 0; leave them out"
        )
    if start <= stop:
        raise UserError(f"start: {start} is not above stop, {stop}; a draw goes down")
    return torch.linspace(start, stop, steps + 1, dtype=torch.float64).tolist()


def start_of(noise: Float[Tensor, "B m n C"], temperature: float = 1.0) -> Float[Tensor, "B n C"]:
    """The first entry of the noise, times the temperature, in float32 at least."""
    start = noise[:, 0]
    return scaled(start.to(torch.promote_types(start.dtype, torch.float32)), temperature)


def scaled(x: Tensor, temperature: float) -> Tensor:
    """temperature x, and x itself at temperature 1."""
    return x if temperature == 1.0 else temperature * x


def _lambda(path: Path, t: float) -> float:
    """Logarithm of alpha / sigma."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    if sigma == 0:
        return math.inf
    return math.log(alpha / sigma) if alpha > 0 else -math.inf
