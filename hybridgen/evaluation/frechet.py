"""Fréchet distance between two sets of features, with its predicted small-sample bias and its floor.

Over Inception features it is FID (arXiv:1706.08500, eq. 6); over any other features it must not be called so.

Sources: `bias` is the first-order bias of the plug-in estimate from n samples, derived for Gaussian features;
`extrapolated` is FID-infinity of arXiv:1911.07023. Differs from the usual code: symmetric eigendecompositions in
float64 in place of a matrix square root of a product that is not symmetric. They are torch's: numpy's were four times
slower where processors are shared.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from hybridgen.evaluation.base import Features, Interval, Measured, Metric, Real, Sample
from hybridgen.evaluation.feature_sources import FromJudge, figures_over
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.system.errors import UserError

_BLOCKS = (
    25  # of the jackknife, on each side; its standard deviation was within a quarter of the true one in simulation
)
_FRACTIONS = (0.5, 0.6, 0.7, 0.85, 1.0)  # of the drawn samples, for the line over 1/n
_SUBSETS = 5  # random subsets of each fraction


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of features, and how many samples they come from."""

    mean: Float[ndarray, " F"]
    covariance: Float[ndarray, "F F"]
    count: int


class Frechet(Metric):
    """Four figures: `frechet`, its predicted `frechet_bias`, `frechet_floor` of real samples, `frechet_infinity`.

    Over Inception's features they are called `fid`, `fid_bias` and so on.

    Args:
        features: the distance is over.
        allow_few: measure even with no more samples than features, where covariances are singular.
    """

    on_inception = True

    def __init__(self, *, features: Features = FromJudge(), allow_few: bool = False) -> None:
        self.features, self.allow_few = features, allow_few
        self.name, self.figures = figures_over(features, ("frechet", "Fréchet distance"), ("fid", "FID"), _figures)

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """The distance of drawn samples to the reference, and what is needed to read it.

        The bias is that of both sides together. The interval is that of the distance at this n, bias included.

        Raises:
            UserError: fewer samples than features on either side.
        """
        reference = real.reference.features
        self.check(len(drawn.features), *reference.shape)
        target = moments(reference)
        value = distance(moments(drawn.features), target)
        half = 1.96 * deviation(drawn.features, reference)
        return {
            self.name: Interval(value, value - half, value + half),
            f"{self.name}_bias": bias(target.covariance, len(drawn.features)) + bias(target.covariance, len(reference)),
            f"{self.name}_floor": distance(moments(real.control.features), target),
            f"{self.name}_infinity": extrapolated(drawn.features, target),
        }

    def check(self, drawn: int, reference: int, features: int) -> None:
        """More samples than features are needed on both sides, and two in any case."""
        if min(drawn, reference) < 2:
            raise UserError(f"metrics.samples: a distance between moments needs two samples; {drawn} are drawn")
        for count, side in ((drawn, "drawn"), (reference, "reference")):
            if count <= features and not self.allow_few:
                raise UserError(
                    f"metrics.samples: a Fréchet distance over {features} features needs more than {features} samples;"
                    f" {side}: {count}\n  take more, or ask for the card frechet_few to have the (meaningless) figure"
                )


def _figures(name: str, title: str) -> tuple[FigureSpec, ...]:
    form = ".2f" if name == "fid" else ".3f"
    return (
        FigureSpec(name, title, format=form, better="low"),
        FigureSpec(f"{name}_bias", "predicted small-sample bias", format=form, under=name),
        FigureSpec(f"{name}_floor", "real against real", format=form, under=name, real=True),
        FigureSpec(
            f"{name}_infinity", "at infinitely many samples", format=form, better="low", under=name, chief=False
        ),
    )


def moments(features: Float[ndarray, "N F"]) -> Moments:
    """Mean and unbiased covariance."""
    count = len(features)
    mean = features.mean(0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / max(count - 1, 1), count)


def distance(a: Moments, b: Moments) -> float:
    """‖mean difference‖² + tr(A + B − 2 (B^½ A B^½)^½), never below zero but for rounding."""
    return _distance(a, b, _root(b.covariance))


def bias(covariance: Float[ndarray, "F F"], count: int) -> float:
    """What taking one side's moments from `count` samples adds to the distance on average, to first order.

    B(n) = (1/n) [Σ λ_i + ½ Σ_ij λ_i λ_j (1 + δ_ij) / (λ_i + λ_j)], λ the eigenvalues of the covariance.
    """
    values = _eigenvalues(covariance)
    values = values[values > 1e-12 * max(float(values.max(initial=0.0)), 1e-300)]  # flat directions add nothing
    pairs = values[:, None] * values[None] / (values[:, None] + values[None])
    return float((values.sum() + 0.5 * (pairs.sum() + np.trace(pairs))) / count)


def extrapolated(drawn: Float[ndarray, "N F"], target: Moments) -> float:
    """The distance at infinitely many drawn samples: intercept of a line over 1/n, five values of n.

    The reference stays as it is, so its own share of the bias remains.
    """
    rng, root = np.random.default_rng(0), _root(target.covariance)
    counts = [max(2, round(fraction * len(drawn))) for fraction in _FRACTIONS]
    values = []
    for count in counts:
        repeats = 1 if count == len(drawn) else _SUBSETS
        subsets = (rng.choice(len(drawn), count, replace=False) for _ in range(repeats))
        values.append(np.mean([_distance(moments(drawn[rows]), target, root) for rows in subsets]))
    _, intercept = np.polyfit(1 / np.asarray(counts), values, 1)
    return float(intercept)


def deviation(drawn: Float[ndarray, "N F"], reference: Float[ndarray, "M F"]) -> float:
    """Standard deviation of the distance under fresh samples on both sides: a jackknife over blocks.

    A bootstrap would add the small-sample bias a second time and, near the floor, overstate the standard deviation.
    """
    ours, theirs = moments(drawn), moments(reference)
    root = _root(theirs.covariance)
    left = np.array([_distance(kept, theirs, root) for kept in _without_a_block(drawn)])
    root = _root(ours.covariance)
    right = np.array([_distance(kept, ours, root) for kept in _without_a_block(reference)])
    return float(np.sqrt(sum((len(side) - 1) * side.var() for side in (left, right))))


def _without_a_block(features: Float[ndarray, "N F"]) -> Iterator[Moments]:
    """Moments with one block of rows left out, for each block; blocks are drawn by a fixed seed."""
    order = np.random.default_rng(0).permutation(len(features))
    for block in np.array_split(order, min(_BLOCKS, len(features) - 1)):
        yield moments(np.delete(features, block, axis=0))


def _distance(a: Moments, b: Moments, root: Float[ndarray, "F F"]) -> float:
    """`distance`, given the square root of b's covariance."""
    gap = a.mean - b.mean
    cross = np.sqrt(_eigenvalues(root @ a.covariance @ root)).sum()
    return float(gap @ gap + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross)


def _root(covariance: Float[ndarray, "F F"]) -> Float[ndarray, "F F"]:
    """The symmetric square root."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    root: Float[ndarray, "F F"] = ((vectors * values.clamp_min(0).sqrt()) @ vectors.T).numpy()
    return root


def _eigenvalues(symmetric: Float[ndarray, "F F"]) -> Float[ndarray, " F"]:
    """Eigenvalues, those below zero by rounding set to it."""
    values: Float[ndarray, " F"] = torch.linalg.eigvalsh(torch.from_numpy(symmetric)).clamp_min(0).numpy()
    return values
