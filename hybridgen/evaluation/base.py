"""The contract of a metric, and what it is given: drawn pictures and real ones, with features and guesses."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from hybridgen.data.base import Examples


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


Measured = dict[str, float | Interval]


@dataclass(frozen=True)
class Sample:
    """Pictures as bytes, what an extractor sees in them, what class was asked for and what class is guessed."""

    pixels: UInt8[Tensor, "N X *size"]
    labels: Int[Tensor, " N"]
    features: Float[ndarray, "N F"]  # float64
    predicted: Int[Tensor, " N"] | None = None  # an extractor without classes guesses none

    def take(self, rows: Int[ndarray, " K"]) -> "Sample":
        """Some rows of everything."""
        guesses = None if self.predicted is None else self.predicted[rows]
        return Sample(self.pixels[rows], self.labels[rows], self.features[rows], guesses)


@dataclass(frozen=True)
class Real:
    """The real side of a comparison.

    `reference` is what drawn pictures are compared with; `control` are other real pictures, as many as were drawn where
    there are so many: measured in place of the drawn ones they give the floor. `test` and `train` are the whole splits.
    """

    reference: Sample
    control: Sample
    test: Examples
    train: Examples
    classes: tuple[str, ...] = ()


class Metric(ABC):
    """One family of figures."""

    def check(self, drawn: int, reference: int, features: int) -> None:  # noqa: B027 - most metrics take any number
        """Raises `UserError` when it cannot measure so many pictures; asked before any is drawn."""

    @abstractmethod
    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Figures by name. Deterministic: a metric that subsamples does so by a fixed seed."""


def as_float64(features: Float[Tensor, "N F"]) -> Float[ndarray, "N F"]:
    """Features for metrics: sums over thousands of pictures lose too much in float32."""
    return features.double().cpu().numpy().astype(np.float64)
