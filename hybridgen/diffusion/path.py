"""Paths from data to noise: x_t = alpha(t) x + sigma(t) noise, with t in [0, 1] and 0 = data.

One frame for flow matching and for diffusion, so that any solver runs on any trained head.

Sources: flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0, for the line; improved DDPM
(arXiv:2102.09672), section 3.2, for the cosine table; DDPM (arXiv:2006.11239), section 4, for the linear betas.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.spacing import EVEN, Spacing

ENTRIES = 1000  # noise levels of a table; entry i is the time (i + 1) / 1000 exactly

Schedule = Literal["cosine", "linear"]

Time = TypeVar("Time", float, Tensor)
"""A time, or many; results have the same form, dtype and device."""


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
    def times(self, steps: int, spacing: Spacing = EVEN) -> Float[Tensor, " steps_and_one"]:
        """Times of a draw in `steps` intervals, from the start down to 0, in float64."""

    def time_of(self, u: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """The time of the same signal-to-noise ratio as time u on the straight line, by bisection."""
        low, high = torch.zeros_like(u), torch.ones_like(u)
        for _ in range(52):  # bits of float64
            middle = (low + high) / 2
            noisier = self.sigma(middle) * (1 - u) > self.alpha(middle) * u
            low, high = torch.where(noisier, low, middle), torch.where(noisier, middle, high)
        return high


class Curve(Path):
    """A path known at every time, with its slopes."""

    @abstractmethod
    def slopes(self, t: Time) -> tuple[Time, Time]:
        """The derivatives of alpha and sigma at t."""

    def times(self, steps: int, spacing: Spacing = EVEN) -> Float[Tensor, " steps_and_one"]:
        """Equal intervals from 1 to 0; with sections, equal ones in each section."""
        counts = spacing.counts(steps)
        ends = torch.linspace(1, 0, len(counts) + 1, dtype=torch.float64)
        parts = zip(pairwise(ends.tolist()), reversed(counts), strict=True)
        falling = [torch.linspace(a, b, count + 1, dtype=torch.float64)[1:] for (a, b), count in parts]
        return torch.cat([ends[:1], *falling])

    def mix(self, clean: Tensor, noise: Tensor, t: Float[Tensor, "*rows 1"]) -> Tensor:
        """x_t."""
        return self.alpha(t) * clean + self.sigma(t) * noise

    def velocity(self, clean: Tensor, noise: Tensor, t: Float[Tensor, "*rows 1"]) -> Tensor:
        """dx/dt for a given clean value and noise."""
        slope_alpha, slope_sigma = self.slopes(t)
        return slope_alpha * clean + slope_sigma * noise

    def split(self, x: Tensor, velocity: Tensor, t: Float[Tensor, "*rows 1"]) -> tuple[Tensor, Tensor]:
        """The clean value and the noise of x_t with this velocity: two linear equations, solved."""
        (alpha, sigma), (slope_alpha, slope_sigma) = (self.alpha(t), self.sigma(t)), self.slopes(t)
        whole = alpha * slope_sigma - sigma * slope_alpha
        return (slope_sigma * x - sigma * velocity) / whole, (alpha * velocity - slope_alpha * x) / whole


@dataclass(frozen=True)
class Line(Curve):
    """The straight line: alpha = 1 - t, sigma = t."""

    reaches_zero = True

    def alpha(self, t: Time) -> Time:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Time) -> Time:
        """t."""
        return t

    def slopes(self, t: Time) -> tuple[Time, Time]:
        """-1 and 1."""
        one = t * 0 + 1
        return -one, one

    def time_of(self, u: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """u itself."""
        return u

    def mix(self, clean: Tensor, noise: Tensor, t: Float[Tensor, "*rows 1"]) -> Tensor:
        """(1 - t) clean + t noise."""
        return torch.lerp(clean, noise, t)

    def velocity(self, clean: Tensor, noise: Tensor, t: Float[Tensor, "*rows 1"]) -> Tensor:
        """noise - clean, at any t."""
        return noise - clean

    def split(self, x: Tensor, velocity: Tensor, t: Float[Tensor, "*rows 1"]) -> tuple[Tensor, Tensor]:
        """Along the line, without a division."""
        return x - t * velocity, x + (1 - t) * velocity


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

    def times(self, steps: int, spacing: Spacing = EVEN) -> Float[Tensor, " steps_and_one"]:
        """Evenly spaced the entries round(j 999 / (steps - 1)), ties to even, from the noisiest down, then 0.

        One step starts at the noisiest entry. The network is asked at these times, never at renumbered ones.
        """
        kept = spacing.entries(ENTRIES, steps)
        return torch.tensor([(i + 1) / ENTRIES for i in reversed(kept)] + [0.0], dtype=torch.float64)

    def time_of(self, u: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
        """The nearest entry's time, never 0, where no network is asked."""
        on_line = self._sigmas / (self._alphas + self._sigmas)
        edges = (on_line[1:-1] + on_line[2:]) / 2  # halfway between entries
        return (torch.bucketize(u.double().cpu(), edges) + 1).to(u) / ENTRIES

    @cached_property
    def _alphas(self) -> Float[Tensor, " entries_and_one"]:
        """alpha at the times i / 1000, from 0."""
        return torch.cat([self.alpha_bar.new_ones(1), self.alpha_bar]).sqrt()

    @cached_property
    def _sigmas(self) -> Float[Tensor, " entries_and_one"]:
        return torch.cat([self.alpha_bar.new_zeros(1), 1 - self.alpha_bar]).sqrt()


def forward_rate(curve: Curve, t: Time) -> Time:
    """Half the variance that the forward equation adds in unit time: sigma sigma' - sigma^2 alpha' / alpha."""
    alpha, sigma = curve.alpha(t), curve.sigma(t)
    slope_alpha, slope_sigma = curve.slopes(t)
    return sigma * slope_sigma - sigma**2 * slope_alpha / alpha


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
    """The distribution of x_s given x_t and the clean value: normal, mean `from_x` x_t + `from_clean` clean."""

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
