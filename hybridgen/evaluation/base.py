"""The contracts of metrics and of the features they use, and what a metric is given: drawn samples and real ones."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy import ndarray
from torch import Tensor

from hybridgen.data.base import Data, Split
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.settings import Metrics
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
        features: float64; without columns for a metric that uses no features.
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


class Extractor(ABC):
    """Features of samples, and the class that each is taken for, where the network knows classes.

    `facts` go into the protocol, and need: net (its name), hash (of its weights), dim (how many features).
    """

    facts: Mapping[str, Any]

    @abstractmethod
    def __call__(self, stored: Shaped[Tensor, "N X *size"]) -> tuple[Float[ndarray, "N F"], Int[Tensor, " N"] | None]:
        """Features in float64, and guessed classes."""


class Features(ABC):
    """Which features a metric uses, without the network that computes them. Cards: registry/features/.

    Metrics whose features have the same card and options share one extractor, which sees each split once per command.
    """

    label: str  # of the features in names and titles of figures, such as "judge"
    media: tuple[str, ...] = ()  # names of the media it can look at; empty: all

    def why_not(self, settings: Metrics) -> str:
        """Why the features cannot be had with these settings; empty when they can. Nothing is loaded."""
        return ""

    @abstractmethod
    def extractor(self, data: Data, settings: Metrics, device: torch.device | str) -> Extractor:
        """The network, ready for samples of these data.

        Raises:
            UserError: a file that the settings name does not serve.
        """

    def notes(self, data: Data, settings: Metrics, extractor: Extractor) -> list[str]:
        """Sentences about what speaks against these features of these data; asked before any sample is drawn."""
        return []


class Metric(ABC):
    """One family of figures. Cards: registry/metric/.

    `figures` declares every figure that may be shown, searched for or compared in a table; those that depend on an
    option are declared in `__init__`.
    """

    figures: tuple[FigureSpec, ...]
    features: Features | None = None  # an option of the metrics that use features; None: stored values alone
    media: tuple[str, ...] = ()  # names of the media it serves; empty: all
    needs_classes: bool = False  # whether it is left out for data without classes
    on_inception: bool = False  # whether `metrics.inception` adds the same over Inception's features

    def check(self, drawn: int, reference: int, features: int) -> None:  # noqa: B027 - most metrics take any number
        """Raises `UserError` when it cannot measure so many samples; asked before any is drawn."""

    @abstractmethod
    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Figures by name. Deterministic: a metric that subsamples does so by a fixed seed."""


def as_float64(features: Float[Tensor, "N F"]) -> Float[ndarray, "N F"]:
    """Features for metrics: sums over thousands of samples lose too much in float32."""
    return features.double().cpu().numpy().astype(np.float64)
