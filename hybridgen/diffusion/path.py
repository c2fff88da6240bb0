"""Paths from data to noise: x_t = alpha(t) x + sigma(t) noise, with t in [0, 1] and 0 = data.

One frame for flow matching and for diffusion, so that any solver runs on any trained head.

Sources: flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0, for the line; improved DDPM
(arXiv:2102.09672), section 3.2, for the cosine table and for the rule of respacing; DDPM (arXiv:2006.11239),
section 4, for the linear betas.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.errors import UserError

ENTRIES = 1000  # noise levels of a table; entry i is the time (i + 1) / 1000 exactly

Schedule = Literal["cosine", "linear"]

Time = TypeVar("Time", float, Tensor)
"""A time, or many; what is computed from them has the same form, dtype and device."""


class Path(ABC):
    """How data becomes noise."""

    reaches_zero: bool  # whether a network is trained down to t = 0, so that a solver may ask it there

    @abstractmethod
    def alpha(self, t: Time) -> Time:
        """The share of data in x_t."""

    @abstractmethod
    def sigma(self, t: Time) -> Time:
        """The share of noise in x_t."""

    @abstractmethod
    def times(self, steps: int) -> Float[Tensor, " steps_and_one"]:
        """Times of a draw in `steps` intervals, from the start down to 0, in float64."""


@dataclass(frozen=True)
class Line(Path):
    """The straight line: alpha = 1 - t, sigma = t."""

    reaches_zero = True

    def alpha(self, t: Time) -> Time:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Time) -> Time:
        """t."""
        return t

    def times(self, steps: int) -> Float[Tensor, " steps_and_one"]:
        """Equal intervals from 1 to 0."""
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Table(Path):
    """A variance-preserving path known at 1000 times: alpha^2 + sigma^2 = 1, alpha(0) = 1.

    Args:
        alpha_bar: alpha^2 at the times (i + 1) / 1000, in float64.
    """

    reaches_zero = False
    alpha_bar: Float[Tensor, " entries"]

    def alpha(self, t: Time) -> Time:
        """The square root of alpha_bar at the nearest entry."""
        return _look_up(self._alphas, t)

    def sigma(self, t: Time) -> Time:
        """The square root of 1 - alpha_bar at the nearest entry."""
        return _look_up(self._sigmas, t)

    def times(self, steps: int) -> Float[Tensor, " steps_and_one"]:
        """The entries round(j 999 / (steps - 1)), ties to even, from the noisiest down, then 0.

        One step starts at the noisiest entry. The network is asked at these times, never at renumbered ones.
        """
        if steps > ENTRIES:
            raise UserError(f"head_steps: {steps} is too many; a path of {ENTRIES} noise levels has at most {ENTRIES}")
        top = ENTRIES - 1
        kept = [top] if steps == 1 else [round(j * top / (steps - 1)) for j in reversed(range(steps))]
        return torch.tensor([(i + 1) / ENTRIES for i in kept] + [0.0], dtype=torch.float64)

    @cached_property
    def _alphas(self) -> Float[Tensor, " entries_and_one"]:
        """alpha at the times i / 1000, from 0."""
        return torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar]).sqrt()

    @cached_property
    def _sigmas(self) -> Float[Tensor, " entries_and_one"]:
        return torch.cat([self.alpha_bar.new_zeros(1), 1 - self.alpha_bar]).sqrt()


def cosine_table() -> Table:
    """alpha_bar(u) = cos^2(((u + .008) / 1.008) pi / 2), each beta at most .999."""

    def bar(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - bar((i + 1) / ENTRIES) / bar(i / ENTRIES), 0.999) for i in range(ENTRIES)]
    return Table((1 - torch.tensor(betas, dtype=torch.float64)).cumprod(0))


def linear_table() -> Table:
    """Betas from 1e-4 to 2e-2 in equal steps."""
    return Table((1 - torch.linspace(1e-4, 2e-2, ENTRIES, dtype=torch.float64)).cumprod(0))


LINEAR = Line()
COSINE = cosine_table()
LINEAR_BETAS = linear_table()


def table(schedule: Schedule) -> Table:
    """The table that an option names."""
    return {"cosine": COSINE, "linear": LINEAR_BETAS}[schedule]


@dataclass(frozen=True)
class Reverse(Generic[Time]):
    """The law of x_s given x_t and the clean value: normal, mean `from_x` x_t + `from_clean` clean."""

    from_x: Time
    from_clean: Time
    small: Time  # its variance: beta tilde
    large: Time  # the variance of x_s given x_t alone when the data have unit variance: beta


def reverse(path: Path, t: Time, s: Time) -> Reverse[Time]:
    """One step of the reverse chain from t down to s < t.

    On a variance-preserving path these are DDPM's coefficients (arXiv:2006.11239, eq. 7); written with alpha and
    sigma they hold on any path, also from alpha(1) = 0.
    """
    alpha_t, sigma_t, alpha_s, sigma_s = path.alpha(t), path.sigma(t), path.alpha(s), path.sigma(s)
    ratio = alpha_t / alpha_s
    added = sigma_t**2 - (ratio * sigma_s) ** 2  # variance of the noise between s and t
    return Reverse(
        from_x=ratio * sigma_s**2 / sigma_t**2,
        from_clean=alpha_s * added / sigma_t**2,
        small=added * sigma_s**2 / sigma_t**2,
        large=added * (alpha_s**2 + sigma_s**2) / (alpha_t**2 + sigma_t**2),
    )


def _look_up(entries: Float[Tensor, " entries_and_one"], t: Time) -> Time:
    if not isinstance(t, Tensor):
        return float(entries[round(t * ENTRIES)])
    return entries.to(t.dtype).to(t.device)[(t * ENTRIES).round().long()]
