"""Curved paths that are known at every time, and the name of each.

Source: stochastic interpolants as in SiT (arXiv:2401.08740), section 2.2 and table 2: "GVP" is the circle, "VP" the
variance-preserving diffusion of score SDE (arXiv:2011.13456), eq. 33, in continuous time.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import LINEAR, Curve, Time

CurveName = Literal["line", "circle", "vp"]


@dataclass(frozen=True)
class Circle(Curve):
    """alpha = cos(t pi / 2), sigma = sin(t pi / 2)."""

    reaches_zero = True

    def alpha(self, t: Time) -> Time:
        """cos(t pi / 2)."""
        return _like(t, torch.cos(_lifted(t) * (math.pi / 2)))

    def sigma(self, t: Time) -> Time:
        """sin(t pi / 2)."""
        return _like(t, torch.sin(_lifted(t) * (math.pi / 2)))

    def slopes(self, t: Time) -> tuple[Time, Time]:
        """A quarter step in unit time."""
        return -math.pi / 2 * self.sigma(t), math.pi / 2 * self.alpha(t)

    def time_of(self, u: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """The angle whose tangent is sigma / alpha."""
        return torch.atan2(u, 1 - u) * (2 / math.pi)


@dataclass(frozen=True, kw_only=True)
class Exponential(Curve):
    """A variance-preserving diffusion whose rate beta grows linearly from t = 0 to 1; sigma is infinitely steep at 0.

    Args:
        first: beta at t = 0.
        last: beta at t = 1.
    """

    reaches_zero = False
    first: float = 0.1
    last: float = 20.0

    def alpha(self, t: Time) -> Time:
        """exp(-half the integral of beta)."""
        return _like(t, self._log_alpha(_lifted(t)).exp())

    def sigma(self, t: Time) -> Time:
        """The root of 1 - alpha^2."""
        return _like(t, (-torch.expm1(2 * self._log_alpha(_lifted(t)))).sqrt())

    def slopes(self, t: Time) -> tuple[Time, Time]:
        """-beta alpha / 2, and beta alpha^2 / (2 sigma)."""
        alpha, half_rate = self.alpha(t), 0.5 * (self.first + t * (self.last - self.first))
        return -half_rate * alpha, half_rate * alpha**2 / self.sigma(t)

    def time_of(self, u: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """The integral of beta to t is log(1 + (sigma / alpha)^2), a quadratic equation in t."""
        integral = torch.log1p((u / (1 - u)) ** 2)
        return 2 * integral / (self.first + (self.first**2 + 2 * (self.last - self.first) * integral).sqrt())

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -0.25 * t**2 * (self.last - self.first) - 0.5 * t * self.first


CIRCLE = Circle()
VARIANCE_PRESERVING = Exponential()


def named(name: CurveName) -> Curve:
    """The path that an option names."""
    return {"line": LINEAR, "circle": CIRCLE, "vp": VARIANCE_PRESERVING}[name]


def _lifted(t: float | Tensor) -> Tensor:
    return t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)


def _like(t: Time, value: Tensor) -> Time:
    """A number for a number, a tensor for a tensor."""
    return value if isinstance(t, Tensor) else value.item()
