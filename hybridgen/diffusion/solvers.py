"""Solvers: from noise to a clean value, given a network's estimate at any noise level.

A head never owns its solver: one trained head is swept over solvers and steps. The state is kept in float32 and
the schedules in float64, also under bf16 autocast (law: exact values, `hybridgen.laws.solvers`).

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

__all__ = ["DDIM", "DDPM", "DPMpp", "Estimate", "Euler", "Heun", "Predict", "Solver", "scaled", "span", "start_of"]


class Solver(ABC):
    """Integrates from t = 1 to t = 0. Temperature 1 is the model's own law."""

    @abstractmethod
    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """A draw from `noise`: first the start, then one a step where the solver is stochastic.

        `temperature` scales the noise added on the way, or the start where none is added.
        """

    def times(self, path: Path, steps: int) -> list[float]:
        """From the start down to where the draw ends: one interval a step."""
        return path.times(steps).tolist()

    def draws(self, steps: int) -> int:
        """Noise that a draw takes beside its start."""
        return 0

    def evaluations(self, path: Path, steps: int) -> int | None:
        """Network evaluations of one draw; None where they depend on the network, and `predict`'s calls are counted."""
        return steps


@dataclass(frozen=True, kw_only=True)
class DDPM(Solver):
    """The reverse chain, each step drawn from a normal distribution.

    Args:
        variance: of a step: "learned" where the network predicts it and "large" where it does not; "large" is beta,
            right for data of unit variance, which heads see; "small" is beta tilde, right for data without any.
        spacing: of the steps over the path: from end to end, or every k-th level from the lowest ("stride").
        sections: steps of each of as many equal parts of the path, lowest noise first; they add up to the steps.
    """

    variance: Literal["learned", "large", "small"] = "learned"
    spacing: SpacingKind = "even"
    sections: tuple[Annotated[int, Ge(1)], ...] = ()

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """The last step adds no noise."""
        x = start_of(noise)
        for k, (t, s) in enumerate(pairwise(self.times(path, steps))):
            clean, _, fraction = predict(x, at(x, t))
            step = reverse(path, t, s)
            x = step.from_x * x + step.from_clean * clean.to(x)
            if s > 0:
                x = x + self._deviation(step, fraction) * scaled(noise[:, 1 + k].to(x), temperature)
        return x

    def times(self, path: Path, steps: int) -> list[float]:
        """As spaced, then 0."""
        return path.times(steps, Spacing(kind=self.spacing, sections=self.sections)).tolist()

    def draws(self, steps: int) -> int:
        """One a step."""
        return steps

    def _deviation(self, step: Reverse[float], fraction: Tensor | None) -> float | Tensor:
        small, large = math.log(step.small), math.log(step.large)
        if self.variance == "small":
            return math.exp(0.5 * small)
        if self.variance == "large" or fraction is None:
            return math.exp(0.5 * large)
        return torch.exp(0.5 * (small + fraction.float() * (large - small)))


@dataclass(frozen=True, kw_only=True)
class DDIM(Solver):
    """The deterministic chain with the same marginals, or one between it and DDPM.

    Args:
        eta: share of DDPM's small deviation that is drawn: 0 none, 1 all of it.
        spacing: of the steps over the path: from end to end, or every k-th level from the lowest ("stride").
        sections: steps of each of as many equal parts of the path, lowest noise first; they add up to the steps.
    """

    eta: Annotated[float, Ge(0), Le(1)] = 0.0
    spacing: SpacingKind = "even"
    sections: tuple[Annotated[int, Ge(1)], ...] = ()

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """With eta 1 equal to DDPM of small variance; with eta 0 equal to Euler."""
        x = start_of(noise, 1.0 if self.eta else temperature)
        for k, (t, s) in enumerate(pairwise(self.times(path, steps))):
            clean, toward, _ = predict(x, at(x, t))
            drawn = self.eta**2 * reverse(path, t, s).small
            x = path.alpha(s) * clean.to(x) + math.sqrt(max(path.sigma(s) ** 2 - drawn, 0.0)) * toward.to(x)
            if drawn > 0:
                x = x + math.sqrt(drawn) * scaled(noise[:, 1 + k].to(x), temperature)
        return x

    def times(self, path: Path, steps: int) -> list[float]:
        """As spaced, then 0."""
        return path.times(steps, Spacing(kind=self.spacing, sections=self.sections)).tolist()

    def draws(self, steps: int) -> int:
        """One a step where eta is not 0."""
        return steps if self.eta else 0


@dataclass(frozen=True)
class DPMpp(Solver):
    """DPM-Solver++ (2M): second order by remembering the last clean value; one evaluation a step.

    The first step and the one onto t = 0 are of first order, and so is the step after an infinite signal-to-noise
    ratio.
    """

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """Works with alpha(1) = 0: the exponential of lambda is never formed."""
        x, before, gap_before = start_of(noise, temperature), None, math.inf
        for t, s in pairwise(self.times(path, steps)):
            clean = predict(x, at(x, t))[0].to(x)
            gap = _lambda(path, s) - _lambda(path, t)
            blend = clean
            if before is not None and math.isfinite(gap) and math.isfinite(gap_before):
                blend = clean + 0.5 * gap / gap_before * (clean - before)
            shrink = path.sigma(s) / path.sigma(t)
            x = shrink * x + (path.alpha(s) - path.alpha(t) * shrink) * blend
            before, gap_before = clean, gap
        return x


@dataclass(frozen=True, kw_only=True)
class Euler(Solver):
    """First order on the straight line, to which every path maps by equal signal-to-noise; on tables it is DDIM.

    Args:
        along: where steps are straight: on that line, or on the path itself, which needs its slopes.
        start: time at which the noise is put; below 1 for networks that are undefined there.
        stop: time at which the draw ends as it is; above 0 for networks that are undefined there.
    """

    along: Along = "line"
    start: Annotated[float, Gt(0), Le(1)] = 1.0
    stop: Annotated[float, Ge(0), Lt(1)] = 0.0

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """x + (s - t) velocity; on the line velocity = noise - clean."""
        chart, times = Chart(path, self.along), self.times(path, steps)
        y = chart.enter(start_of(noise, temperature), times[0])
        for t, s in pairwise(times):
            y = y + (chart.place(s) - chart.place(t)) * chart.velocity(predict, y, t)
        return chart.leave(y, times[-1])

    def times(self, path: Path, steps: int) -> list[float]:
        """Equal intervals from `start` to `stop`; on a table its entries."""
        return span(path, steps, self.start, self.stop)


@dataclass(frozen=True, kw_only=True)
class Heun(Solver):
    """Second order: the mean of the velocities at both ends of an interval.

    Onto t = 0 too where the path reaches it; else the last step is Euler's, for no network knows t = 0.

    Args:
        along: where steps are straight: on the line of equal signal-to-noise, or on the path itself.
        start: time at which the noise is put; below 1 for networks that are undefined there.
        stop: time at which the draw ends as it is; above 0 for networks that are undefined there.
    """

    along: Along = "line"
    start: Annotated[float, Gt(0), Le(1)] = 1.0
    stop: Annotated[float, Ge(0), Lt(1)] = 0.0

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """Two evaluations an interval."""
        chart, times = Chart(path, self.along), self.times(path, steps)
        y = chart.enter(start_of(noise, temperature), times[0])
        for t, s in pairwise(times):
            width = chart.place(s) - chart.place(t)
            velocity = chart.velocity(predict, y, t)
            if s > 0 or path.reaches_zero:
                velocity = 0.5 * (velocity + chart.velocity(predict, y + width * velocity, s))
            y = y + width * velocity
        return chart.leave(y, times[-1])

    def times(self, path: Path, steps: int) -> list[float]:
        """Equal intervals from `start` to `stop`; on a table its entries."""
        return span(path, steps, self.start, self.stop)

    def evaluations(self, path: Path, steps: int) -> int:
        """Two an interval; one on the last where the network does not know t = 0."""
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
    """The first of the noise, in float32 at least."""
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
