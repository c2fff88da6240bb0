"""Fréchet distance between two sets of features, with its predicted small-sample bias and its floor.

Over Inception features it is FID (arXiv:1706.08500, eq. 6); over any other features it must not be called so.

Sources: `bias` is the first-order bias of the plug-in estimate from n samples, derived for Gaussian features;
`extrapolated` is FID-infinity of arXiv:1911.07023. Differs from the usual code: symmetric eigendecompositions in
float64 in place of a matrix square root of a product that is not symmetric.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from hybridgen.errors import UserError
from hybridgen.evaluation.base import Interval, Measured, Metric, Real, Sample

_REPLICATES = 100  # of the bootstrap: a half-width to about 7 %
_FRACTIONS = (0.5, 0.6, 0.7, 0.85, 1.0)  # of the drawn pictures, for the line over 1/n
_SUBSETS = 5  # random subsets a fraction


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, and how many pictures they come from."""

    mean: Float[ndarray, " F"]
    covariance: Float[ndarray, "F F"]
    count: int


class Frechet(Metric):
    """Four figures: `frechet`, its predicted `frechet_bias`, `frechet_floor` of real pictures, `frechet_infinity`.

    Args:
        allow_few: measure even with no more pictures than features, where covariances are singular.
    """

    def __init__(self, *, allow_few: bool = False) -> None:
        self.allow_few = allow_few

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """The distance of drawn pictures to the reference, and what is needed to read it.

        The bias is that of both sides together. The interval is that of the distance at this n, bias included.

        Raises:
            UserError: fewer pictures than features on either side.
        """
        reference = real.reference.features
        for count, side in ((len(drawn.features), "drawn"), (len(reference), "reference")):
            self._enough(count, reference.shape[1], side)
        target = moments(reference)
        value = distance(moments(drawn.features), target)
        half = 1.96 * float(np.std(_bootstrap(drawn.features, reference), ddof=1))
        return {
            "frechet": Interval(value, value - half, value + half),
            "frechet_bias": bias(target.covariance, len(drawn.features)) + bias(target.covariance, len(reference)),
            "frechet_floor": distance(moments(real.control.features), target),
            "frechet_infinity": extrapolated(drawn.features, target),
        }

    def _enough(self, count: int, features: int, side: str) -> None:
        if count <= features and not self.allow_few:
            raise UserError(
                f"metrics.samples: a Fréchet distance over {features} features needs more than {features} pictures;"
                f" {side}: {count}\n  take more, or ask for the card frechet_few to have the (meaningless) figure"
            )


def moments(features: Float[ndarray, "N F"], weights: Float[ndarray, " N"] | None = None) -> Moments:
    """Mean and unbiased covariance; `weights` are how often each row counts (they sum to N)."""
    count = len(features)
    w = np.ones(count) if weights is None else weights
    mean = w @ features / count
    centred = features - mean
    return Moments(mean, (centred * w[:, None]).T @ centred / max(count - 1, 1), count)


def distance(a: Moments, b: Moments) -> float:
    """‖mean difference‖² + tr(A + B − 2 (A^½ B A^½)^½), never below zero but for rounding."""
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ b.covariance @ root)
    gap = a.mean - b.mean
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.clip(cross, 0, None)).sum()
    return float(gap @ gap + trace)


def bias(covariance: Float[ndarray, "F F"], count: int) -> float:
    """What taking one side's moments from `count` samples adds to the distance on average, to first order.

    B(n) = (1/n) [Σ λ_i + ½ Σ_ij λ_i λ_j (1 + δ_ij) / (λ_i + λ_j)], λ the eigenvalues of the covariance.
    """
    values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
    values = values[values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)]  # flat directions add nothing
    pairs = values[:, None] * values[None] / (values[:, None] + values[None])
    return float((values.sum() + 0.5 * (pairs.sum() + np.trace(pairs))) / count)


def extrapolated(drawn: Float[ndarray, "N F"], target: Moments) -> float:
    """The distance at infinitely many drawn pictures: intercept of a line over 1/n, five values of n.

    The reference stays as it is, so its own share of the bias remains.
    """
    rng = np.random.default_rng(0)
    counts = [max(2, round(fraction * len(drawn))) for fraction in _FRACTIONS]
    values = []
    for count in counts:
        repeats = 1 if count == len(drawn) else _SUBSETS
        subsets = (rng.choice(len(drawn), count, replace=False) for _ in range(repeats))
        values.append(np.mean([distance(moments(drawn[rows]), target) for rows in subsets]))
    _, intercept = np.polyfit(1 / np.asarray(counts), values, 1)
    return float(intercept)


def _bootstrap(drawn: Float[ndarray, "N F"], reference: Float[ndarray, "M F"]) -> Float[ndarray, " R"]:
    """Distances of resampled pictures, both sides; only their spread is used, since resampling adds bias of its own."""
    rng = np.random.default_rng(0)

    def resampled(features: Float[ndarray, "K F"]) -> Moments:
        count = len(features)
        return moments(features, rng.multinomial(count, np.full(count, 1 / count)).astype(np.float64))

    return np.array([distance(resampled(drawn), resampled(reference)) for _ in range(_REPLICATES)])
