"""Kernel distance: unbiased squared MMD with a cubic kernel; its expectation does not depend on the number of samples.

The headline below 5,000 samples. It may be negative, and is not clipped: clipping would bias it.

Source: KID, arXiv:1801.01401, section 4, kernel (x·y / F + 1)³.
Differs: the value is the estimate over all samples instead of a mean over random subsets.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from hybridgen.evaluation.base import Features, Interval, Measured, Metric, Real, Sample
from hybridgen.evaluation.feature_sources import FromJudge, figures_over
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.intervals import around
from hybridgen.system.errors import UserError

_BLOCKS = 10
_MOST = 5000  # samples on each side: kernels of 5,000 x 5,000 in float64 take 200 MB


class KernelDistance(Metric):
    """`kid`, with the interval over ten disjoint blocks of samples, and `kid_floor` (real samples drawn instead).

    Over Inception's features they are called `kid_inception` and `kid_inception_floor`.

    Args:
        features: the distance is over.
    """

    on_inception = True

    def __init__(self, *, features: Features = FromJudge()) -> None:
        self.features = features
        self.name, self.figures = figures_over(features, ("kid", "kernel distance"), ("kid_inception", "KID"), _figures)

    def check(self, drawn: int, reference: int, features: int) -> None:
        """Two samples per block are needed on both sides."""
        if min(drawn, reference) < 2 * _BLOCKS:
            raise UserError(
                f"metrics.samples: a kernel distance and its interval need at least {2 * _BLOCKS} samples a side;"
                f" given {drawn} drawn and {reference} real ones"
            )

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Unbiased squared MMD of drawn samples, and of the control, to the reference."""
        reference = real.reference.features
        return {
            self.name: kernel_distance(drawn.features, reference),
            f"{self.name}_floor": kernel_distance(real.control.features, reference).value,
        }


def _figures(name: str, title: str) -> tuple[FigureSpec, ...]:
    return (
        FigureSpec(name, title, format=".4f", better="low"),
        FigureSpec(f"{name}_floor", "real against real", format=".4f", under=name, chief=False, real=True),
    )


def kernel_distance(a: Float[ndarray, "N F"], b: Float[ndarray, "M F"]) -> Interval:
    """Unbiased squared MMD.

    The blocks pair fewer samples than the value does, so the interval errs on the wide side.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.permutation(side)[:_MOST] for side in (a, b))
    blocks = zip(np.array_split(a, _BLOCKS), np.array_split(b, _BLOCKS), strict=True)
    return around(mmd2(a, b), np.array([mmd2(x, y) for x, y in blocks]))


def mmd2(a: Float[ndarray, "N F"], b: Float[ndarray, "M F"]) -> float:
    """The U-statistic: no sample is compared with itself. Needs two samples on each side."""
    n, m = len(a), len(b)
    if min(n, m) < 2:
        raise ValueError(f"a kernel distance needs two samples a side, not {n} and {m}")

    def kernel(x: Float[ndarray, "K F"], y: Float[ndarray, "L F"]) -> Float[ndarray, "K L"]:
        return (x @ y.T / x.shape[1] + 1) ** 3

    within_a, within_b = kernel(a, a), kernel(b, b)
    own = (within_a.sum() - np.trace(within_a)) / (n * (n - 1)) + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(own - 2 * kernel(a, b).mean())
