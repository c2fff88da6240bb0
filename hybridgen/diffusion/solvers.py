"""Solvers: from noise to a clean value, given a network's estimate at any noise level.

A head never owns its solver: one trained head is swept over solvers and steps. The state is kept in float32 and
the schedules in float64, also under bf16 autocast (law: exact values, `hybridgen.laws.solvers`).

Sources: DDPM (arXiv:2006.11239), eq. 7; improved DDPM (arXiv:2102.09672), eq. 15, for the learned range; DDIM
(arXiv:2010.02502), eq. 12, 16; DPM-Solver++ (arXiv:2211.01095), algorithm 2 (2M).
Differs from DDPM and DDIM: written for any alpha and sigma, so that they also run on the straight line.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import Path, Reverse, reverse

Estimate = tuple[Tensor, Tensor, Tensor | None]
"""Clean value and noise, (B, n, C), with x_t = alpha clean + sigma noise; and, where a variance is learned, the share f
of the way from beta tilde to beta that the logarithm of the step's variance has gone. A share, because both ends
depend on the solver's step."""

Predict = Callable[[Tensor, Tensor], Estimate]
"""The estimate at x (B, n, C) and t (B, n)."""


class Solver(ABC):
    """Integrates from t = 1 to t = 0. Temperature 1 is the model's own law."""

    @abstractmethod
    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """A draw from `noise`: first the start, then one a step where the solver is stochastic.

        `temperature` scales the noise added on the way, or the start where none is added.
        """

    def draws(self, steps: int) -> int:
        """Noise that a draw takes beside its start."""
        return 0

    def evaluations(self, path: Path, steps: int) -> int:
        """Network evaluations of one draw."""
        return steps


@dataclass(frozen=True, kw_only=True)
class DDPM(Solver):
    """The reverse chain, each step drawn from a normal law.

    Args:
        variance: of a step: "learned" where the network predicts it and "large" where it does not; "large" is beta,
            right for data of unit variance, which heads see; "small" is beta tilde, right for data without any.
    """

    variance: Literal["learned", "large", "small"] = "learned"

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """The last step adds no noise."""
        x = _start(noise)
        for k, (t, s) in enumerate(_intervals(path, steps)):
            clean, _, fraction = predict(x, _time(x, t))
            step = reverse(path, t, s)
            x = step.from_x * x + step.from_clean * clean.to(x)
            if s > 0:
                x = x + self._deviation(step, fraction) * _scaled(noise[:, 1 + k].to(x), temperature)
        return x

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
    """

    eta: Annotated[float, Ge(0), Le(1)] = 0.0

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """With eta 1 equal to DDPM of small variance; with eta 0 equal to Euler."""
        x = _start(noise, 1.0 if self.eta else temperature)
        for k, (t, s) in enumerate(_intervals(path, steps)):
            clean, toward, _ = predict(x, _time(x, t))
            drawn = self.eta**2 * reverse(path, t, s).small
            x = path.alpha(s) * clean.to(x) + math.sqrt(max(path.sigma(s) ** 2 - drawn, 0.0)) * toward.to(x)
            if drawn > 0:
                x = x + math.sqrt(drawn) * _scaled(noise[:, 1 + k].to(x), temperature)
        return x

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
        x, before, gap_before = _start(noise, temperature), None, math.inf
        for t, s in _intervals(path, steps):
            clean = predict(x, _time(x, t))[0].to(x)
            gap = _lambda(path, s) - _lambda(path, t)
            blend = clean
            if before is not None and math.isfinite(gap) and math.isfinite(gap_before):
                blend = clean + 0.5 * gap / gap_before * (clean - before)
            shrink = path.sigma(s) / path.sigma(t)
            x = shrink * x + (path.alpha(s) - path.alpha(t) * shrink) * blend
            before, gap_before = clean, gap
        return x


@dataclass(frozen=True)
class Euler(Solver):
    """First order on the straight line, to which every path maps by equal signal-to-noise; on tables it is DDIM."""

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """x + (s - t) velocity, velocity = noise - clean."""
        y = _start(noise, temperature) / _stretch(path, path.times(steps)[0].item())
        for t, s in _intervals(path, steps):
            y = y + (_on_line(path, s) - _on_line(path, t)) * _velocity(predict, path, y, t)
        return y


@dataclass(frozen=True)
class Heun(Solver):
    """Second order on the straight line: the mean of the velocities at both ends of an interval.

    Onto t = 0 too where the path reaches it; else the last step is Euler's, for no network knows t = 0.
    """

    def solve(
        self, predict: Predict, path: Path, noise: Float[Tensor, "B m n C"], steps: int, temperature: float = 1.0
    ) -> Float[Tensor, "B n C"]:
        """Two evaluations an interval."""
        y = _start(noise, temperature) / _stretch(path, path.times(steps)[0].item())
        for t, s in _intervals(path, steps):
            width = _on_line(path, s) - _on_line(path, t)
            velocity = _velocity(predict, path, y, t)
            if s > 0 or path.reaches_zero:
                velocity = 0.5 * (velocity + _velocity(predict, path, y + width * velocity, s))
            y = y + width * velocity
        return y

    def evaluations(self, path: Path, steps: int) -> int:
        """Two an interval; one on the last of a table."""
        return 2 * steps if path.reaches_zero else 2 * steps - 1


def _intervals(path: Path, steps: int) -> Iterator[tuple[float, float]]:
    return pairwise(path.times(steps).tolist())


def _start(noise: Tensor, temperature: float = 1.0) -> Tensor:
    start = noise[:, 0]
    return _scaled(start.to(torch.promote_types(start.dtype, torch.float32)), temperature)


def _scaled(x: Tensor, temperature: float) -> Tensor:
    return x if temperature == 1.0 else temperature * x


def _time(x: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n"]:
    return torch.full(x.shape[:2], t, dtype=x.dtype, device=x.device)


def _lambda(path: Path, t: float) -> float:
    """Logarithm of alpha / sigma."""
    alpha, sigma = path.alpha(t), path.sigma(t)
    if sigma == 0:
        return math.inf
    return math.log(alpha / sigma) if alpha > 0 else -math.inf


def _stretch(path: Path, t: float) -> float:
    """x on the path is this times x on the straight line at equal signal-to-noise."""
    return path.alpha(t) + path.sigma(t)


def _on_line(path: Path, t: float) -> float:
    """The time on the straight line of equal signal-to-noise."""
    return path.sigma(t) / _stretch(path, t)


def _velocity(predict: Predict, path: Path, y: Float[Tensor, "B n C"], t: float) -> Float[Tensor, "B n C"]:
    clean, noise, _ = predict(y * _stretch(path, t), _time(y, t))
    return (noise - clean).to(y)
