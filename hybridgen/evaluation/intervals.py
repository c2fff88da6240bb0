"""95 % intervals: of a share, and of a mean over few independent parts."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from hybridgen.evaluation.base import Interval

_LEVEL = 0.95


def share(successes: int, count: int) -> Interval:
    """A share with Wilson's interval, which holds near 0 and 1 too (E. B. Wilson, JASA 22, 1927)."""
    if count == 0:
        raise ValueError("a share of nothing")
    z = float(stats.norm.ppf(0.5 + _LEVEL / 2))
    p = successes / count
    centre = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return Interval(p, min(p, float(centre - half)), max(p, float(centre + half)))


def around(value: float, parts: Float[ndarray, " K"]) -> Interval:
    """`value` with the t interval of a mean over independent `parts`."""
    half = stats.t.ppf(0.5 + _LEVEL / 2, len(parts) - 1) * parts.std(ddof=1) / np.sqrt(len(parts))
    return Interval(value, value - float(half), value + float(half))
