"""The contract of a metric, and what it is given: drawn samples and real ones, with features and guesses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from torch import Tensor

from hybridgen.data.base import Split
from hybridgen.media.base import Medium


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


Measured = dict[str, float | Interval]


@dataclass(frozen=True)
class Sample:
    """What an extractor sees in samples, which class was asked for and which is guessed.

    Args:
        features: float64.
        labels: class of each; None without classes.
        predicted: guessed class; None where the extractor guesses none.
        stored: the samples as a file would hold them; None for a real split, which is read where it is needed.
    """

    features: Float[ndarray, "N F"]
    labels: Int[Tensor, " N"] | None = None
    predicted: Int[Tensor, " N"] | None = None
    stored: Shaped[Tensor, "N X *size"] | None = None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Real:
    """The real side of a comparison.

    `reference` is what drawn samples are compared with; `control` are other real samples, as many as were drawn where
    there are so many: measured in place of the drawn ones they give the floor. `test` and `train` are the whole splits.
    """

    reference: Sample
    control: Sample
    test: Split
    train: Split
    medium: Medium
    classes: tuple[str, ...] = ()


class Metric(ABC):
    """One family of figures."""

    def check(self, drawn: int, reference: int, features: int) -> None:  # noqa: B027 - most metrics take any number
        """Raises `UserError` when it cannot measure so many samples; asked before any is drawn."""

    @abstractmethod
    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Figures by name. Deterministic: a metric that subsamples does so by a fixed seed."""


def as_float64(features: Float[Tensor, "N F"]) -> Float[ndarray, "N F"]:
    """Features for metrics: sums over thousands of samples lose too much in float32."""
    return features.double().cpu().numpy().astype(np.float64)
