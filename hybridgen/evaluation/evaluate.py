"""Drawn samples in, figures with their protocols out: what `train` and `evaluate` call.

Drawn and real samples are as stored before any network sees them, and neither is resized for the judge.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hybridgen.config.registry import Registry
from hybridgen.data.base import Data, Split
from hybridgen.evaluation.base import Extractor, Features, Real, Sample
from hybridgen.evaluation.feature_sources import FromInception, FromJudge
from hybridgen.evaluation.figure_spec import FigureSpec, find_spec, quoted_title
from hybridgen.evaluation.metrics import Chosen, find_metrics, too_few, why_not
from hybridgen.evaluation.protocol import SAID, Figure, figure, missing_fields, rounding
from hybridgen.evaluation.settings import Metrics


def check_metrics(data: Data, settings: Metrics, registry: Registry | None = None) -> list[str]:
    """Looks for all that `evaluate_samples` will need, before any sample is drawn.

    Returns a sentence for each group of figures that cannot be had and will be left out.

    Raises:
        UserError: a metric is unknown, or a file that the settings name does not serve.
    """
    return Evaluator(data, settings, registry).notes()


def evaluate_samples(
    stored: Shaped[Tensor, "N X *size"],
    labels: Int[Tensor, " N"] | None,
    data: Data,
    settings: Metrics,
    protocol: Mapping[str, Any],
    *,
    registry: Registry | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Figure]:
    """Every figure of drawn samples that the settings ask for and that can be had (see `check_metrics`).

    `protocol` is that of `Evaluator.figures`.

    Raises:
        UserError: an unknown metric, or a file that the settings name does not serve.
    """
    return Evaluator(data, settings, registry, device).figures(stored, labels, protocol)


class Evaluator:
    """Measures drawn samples of one data set, several times if need be.

    Each network is loaded once, and sees each real sample once.

    Args:
        data: the real samples.
        settings: what is measured.
        registry: the cards of metrics.
        device: where networks compute.

    Raises:
        UserErrors: metrics that are unknown, or do not go together.
    """

    def __init__(
        self, data: Data, settings: Metrics, registry: Registry | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.data, self.settings, self.device = data, settings, device
        self.metrics = find_metrics(settings, registry or Registry())
        self._extractors: dict[str, Extractor] = {}
        self._real: dict[tuple[str, int], Real] = {}

    def notes(self) -> list[str]:
        """What is to be said of the features, and which metrics are left out, each in a sentence."""
        self._check_files()
        notes, left_out, seen = list[str](), list[str](), set[str]()
        reference = len(self.data.split(self.settings.reference))
        for each in self.metrics:
            why = why_not(each, self.data, self.settings)
            if not why:
                extractor, features = self._extractor(each), each.metric.features
                if extractor is not None and features is not None and each.features not in seen:
                    seen.add(each.features)
                    notes += features.notes(self.data, self.settings, extractor)
                why = too_few(each, self.settings.samples, reference, _dim(extractor))
            if why:
                left_out.append(f"{each.title} is left out: {why}")
        return notes + left_out

    def _check_files(self) -> None:
        """A file that the settings name must serve, also where no metric uses it."""
        named: dict[Features, str | None] = {FromJudge(): self.settings.judge, FromInception(): self.settings.inception}
        used = {type(each.metric.features) for each in self.metrics}
        for features, file in named.items():
            if file is not None and type(features) not in used:
                features.extractor(self.data, self.settings, self.device)

    def figures(
        self, stored: Shaped[Tensor, "N X *size"], labels: Int[Tensor, " N"] | None, protocol: Mapping[str, Any]
    ) -> dict[str, Figure]:
        """Every figure of drawn samples that can be had.

        `protocol` says what only the caller knows: data (its name), model (hash), weights (ema or raw), sampler (its
        settings), seeds, precision, device; and whatever else belongs to the record.
        """
        base = {"kind": "drawn", **protocol}
        if missing := missing_fields(base, SAID):
            raise ValueError(f"the protocol of drawn samples lacks {', '.join(missing)}")
        data, classes = self.data, len(self.data.spec.classes)
        counts = [] if not classes or labels is None else labels.bincount(minlength=classes).tolist()
        base |= {
            "drawn": len(stored), "class_distribution": counts,
            "reference": self.settings.reference, "reference_hash": data.fingerprint(),
            "rounding": rounding(data.medium),
        }  # fmt: skip
        samples, found = dict[str, Sample](), dict[str, Figure]()
        for each in self.metrics:
            if why_not(each, data, self.settings):
                continue
            extractor = self._extractor(each)
            real = self._real_samples(each.features, extractor, len(stored))
            if too_few(each, len(stored), len(real.reference), _dim(extractor)):
                continue
            if each.features not in samples:
                samples[each.features] = _drawn(stored, labels if classes else None, extractor)
            found |= _measured(each, samples[each.features], real, extractor, base)
        return found

    def _extractor(self, chosen: Chosen) -> Extractor | None:
        """The network of a metric's features, loaded when it is first asked for; None for a metric without features."""
        key, features = chosen.features, chosen.metric.features
        if features is None:
            return None
        if key not in self._extractors:
            self._extractors[key] = features.extractor(self.data, self.settings, self.device)
        return self._extractors[key]

    def _real_samples(self, key: str, extractor: Extractor | None, count: int) -> Real:
        """The reference split whole; as control the other split, cut to as many samples as were drawn."""
        if (key, count) not in self._real:
            train, test = self.data.split("train"), self.data.split("test")
            reference, other = (train, test) if self.settings.reference == "train" else (test, train)
            rows = torch.from_numpy(np.random.default_rng(self.settings.seed).permutation(len(other))[:count])
            self._real[key, count] = Real(
                reference=_seen(reference, extractor, torch.arange(len(reference))),
                control=_seen(other, extractor, rows), test=test, train=train, medium=self.data.medium,
                classes=self.data.spec.classes,
            )  # fmt: skip
        return self._real[key, count]


def _measured(
    chosen: Chosen, drawn: Sample, real: Real, extractor: Extractor | None, base: Mapping[str, Any]
) -> dict[str, Figure]:
    """The figures of one metric, each with its protocol and its specification."""
    figures, declared = dict[str, Figure](), chosen.metric.figures
    for name, value in chosen.metric.measure(drawn, real).items():
        spec = find_spec(name, declared) or FigureSpec(name, name, chief=False)
        facts = {
            **base, "metric": quoted_title(spec, declared), "card": chosen.card,
            "reference_count": len(real.reference), "feature": None if extractor is None else extractor.facts,
        }  # fmt: skip
        figures[name] = figure(value, facts, spec)
    return figures


def _drawn(stored: Tensor, labels: Tensor | None, extractor: Extractor | None) -> Sample:
    features, predicted = (_nothing(len(stored)), None) if extractor is None else extractor(stored)
    return Sample(features, labels, predicted, stored)


def _seen(split: Split, extractor: Extractor | None, rows: Int[Tensor, " K"]) -> Sample:
    """Features of some rows of a split, read piece by piece."""
    labels = None if split.labels is None else split.labels[rows]
    if extractor is None:
        return Sample(_nothing(len(rows)), labels)
    parts = [extractor(stored) for stored in split.chunks(rows=rows)]
    guesses = [guess for _, guess in parts if guess is not None]
    return Sample(np.concatenate([features for features, _ in parts]), labels, torch.cat(guesses) if guesses else None)


def _nothing(count: int) -> np.ndarray:
    """Features of no columns."""
    return np.zeros((count, 0))


def _dim(extractor: Extractor | None) -> int:
    return 0 if extractor is None else int(extractor.facts["dim"])
