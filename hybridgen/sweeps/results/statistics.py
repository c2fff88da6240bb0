"""Means over seeds with their intervals, and whether two variants differ: Student's t, paired where seeds pair.

Sources: the t interval of a mean; the paired t test; Holm's correction for many comparisons (S. Holm, Scandinavian
Journal of Statistics 6, 1979).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
BySeed = Mapping[int, float]  # a figure by the seed of its run


@dataclass(frozen=True)
class Mean:
    """A mean over `n` runs; `half` is half the 95 % interval, None for a single run."""

    value: float
    half: float | None
    n: int


@dataclass(frozen=True)
class Compared:
    """A variant against the base: the difference of the means, and the p value corrected for all comparisons.

    `p` is None where it cannot be told: fewer than two pairs of seeds, or differences without any spread.
    """

    difference: float
    p: float | None
    pairs: int

    @property
    def separable(self) -> bool:
        """Whether the difference is one at this number of runs."""
        return self.p is not None and self.p < 1 - LEVEL


def mean(values: Sequence[float]) -> Mean:
    """The mean with its t interval."""
    from scipy import stats

    n = len(values)
    if n < 2:
        return Mean(float(np.mean(values)) if n else math.nan, None, n)
    half = stats.t.ppf(0.5 + LEVEL / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    return Mean(float(np.mean(values)), float(half), n)


def compare(base: BySeed, others: Mapping[str, BySeed]) -> dict[str, Compared]:
    """Each of the others against the base over the seeds that both have; p values by Holm over all of them."""
    found = {name: _paired(base, other) for name, other in others.items()}
    corrected = holm({name: each.p for name, each in found.items() if each.p is not None})
    return {name: Compared(c.difference, corrected.get(name), c.pairs) for name, c in found.items()}


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Holm's corrected p values: the smallest times their number, the next times one less, never falling."""
    corrected, highest = {}, 0.0
    for i, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, value * (len(p) - i)))
        corrected[name] = highest
    return corrected


def _paired(base: BySeed, other: BySeed) -> Compared:
    from scipy import stats

    seeds = sorted(base.keys() & other.keys())
    differences = np.array([other[seed] - base[seed] for seed in seeds])
    if not len(seeds):
        return Compared(math.nan, None, 0)
    spread = differences.std(ddof=1) if len(seeds) > 1 else 0.0
    scale = max(abs(differences).max(), 1e-300)
    if len(seeds) < 2 or spread <= 1e-12 * scale:  # equal differences to rounding: the test has nothing to go by
        return Compared(float(differences.mean()), None, len(seeds))
    return Compared(float(differences.mean()), float(stats.ttest_1samp(differences, 0.0).pvalue), len(seeds))
