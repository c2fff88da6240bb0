"""Drawn samples in, figures with their protocols out: what `train` and `evaluate` call.

Both sides are as stored before any network sees them, and neither is resized for the judge.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.data.base import Data, Split
from hybridgen.evaluation.base import Metric, Real, Sample
from hybridgen.evaluation.features import Extractor, InceptionFeatures, JudgeFeatures, RandomFeatures
from hybridgen.evaluation.judge import TrainedJudge, find_judge
from hybridgen.evaluation.protocol import SAID, Figure, figure, missing_fields, rounding
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserError, UserErrors

_TRIED = 500  # real samples that a judge is tried on

# Names of the figures when the features are Inception's: by these alone may they be called FID.
_INCEPTION = {"frechet": "fid", "kid": "kid_inception"}
_ON_PIXELS = ("nearest", "nearest_real", "near_copies")
_TITLES = {
    "frechet": "Fréchet distance (judge)", "fid": "FID", "kid": "kernel distance (judge)", "kid_inception": "KID",
    "precision": "precision", "recall": "recall", "accuracy": "accuracy by the judge",
    "nearest": "median distance to the nearest training sample", "near_copies": "share of near copies",
}  # fmt: skip


def find_metrics(settings: Metrics, registry: Registry) -> dict[str, Metric]:
    """The metrics of the cards that `metrics.which` names.

    Raises:
        UserErrors: every card that is unknown or does not load.
    """
    found: dict[str, Metric] = {}
    wrong = []
    for name in settings.which:
        try:
            card = registry.card("metric", name, Place(f"metrics.which: {name}"))
            found[name] = registry.load(card)(**card.options.values)
        except UserError as error:
            wrong.append(f"metrics.which: {error}")
    if wrong:
        raise UserErrors(wrong)
    return found


def check_metrics(data: Data, settings: Metrics, registry: Registry | None = None) -> list[str]:
    """Looks for all that `evaluate_samples` will need, before any sample is drawn.

    Returns a sentence for each group of figures that cannot be had and will be left out.

    Raises:
        UserError: a metric is unknown, or a file that the settings name does not serve.
    """
    metrics, reference = find_metrics(settings, registry or Registry()), len(data.split(settings.reference))
    extractor, notes = _extractor(data, settings, "cpu")
    _, unfit = _able(metrics, settings.samples, reference, extractor)
    if settings.inception is not None:
        inception = InceptionFeatures(settings.inception, 1, "cpu")
        unfit |= _able(_on_inception(metrics), settings.samples, reference, inception)[1]
    if not data.spec.classes and "accuracy" in metrics:
        notes.append("accuracy is left out: these data have no classes")
    return notes + [f"{name} is left out: {why}" for name, why in unfit.items()]


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

    `protocol` says what only the caller knows: data (its name), model (hash), weights (ema or raw), sampler (its
    settings), seeds, precision, device; and whatever else belongs to the record.

    Raises:
        UserError: an unknown metric, or a file that the settings name does not serve.
    """
    base = {"kind": "drawn", **protocol}
    if missing := missing_fields(base, SAID):
        raise ValueError(f"the protocol of drawn samples lacks {', '.join(missing)}")
    metrics = find_metrics(settings, registry or Registry())
    extractor, _ = _extractor(data, settings, device)
    classes = len(data.spec.classes)
    counts = [] if not classes or labels is None else labels.bincount(minlength=classes).tolist()
    base |= {
        "drawn": len(stored), "class_distribution": counts,
        "reference": settings.reference, "reference_hash": data.fingerprint(), "rounding": rounding(data.medium),
    }  # fmt: skip
    drawn = stored, labels if classes else None
    figures = _measured(metrics, extractor, drawn, data, settings, base)
    if settings.inception is not None:
        inception = InceptionFeatures(settings.inception, min(settings.batch, 50), device)
        figures |= _measured(_on_inception(metrics), inception, drawn, data, settings, base)
    return figures


def _extractor(data: Data, settings: Metrics, device: torch.device | str) -> tuple[Extractor, list[str]]:
    """The judge's features where there is one, else random ones, and what is to be said of that."""
    judge = find_judge(data, settings.judge)
    if judge is not None:
        return JudgeFeatures(judge, settings.batch, device), _doubts(judge, data)
    if len(data.spec.classes) < 2:
        why = "these data have no classes" if not data.spec.classes else "these data have one class"
        note = f"{why}, so no judge can be trained: distances use features of random convolutions"
    else:
        note = (
            "there is no judge for these data: distances use features of random convolutions, and accuracy is left out"
            "\n  train one: hybridgen judge DATA --out judge.safetensors, then metrics.judge=judge.safetensors"
        )
    return RandomFeatures(data, settings.batch, device), [note]


def _doubts(judge: TrainedJudge, data: Data) -> list[str]:
    """What speaks against using a judge: it does not recognise these data, though their shape and classes fit."""
    split = data.split("test")
    rows = torch.arange(min(_TRIED, len(split)))
    assert split.labels is not None, "a judge is of data with classes"
    _, guesses = JudgeFeatures(judge)(split.stored(rows))
    assert guesses is not None, "a judge guesses classes"
    right = float(torch.eq(guesses, split.labels[rows]).double().mean())
    chance, known = 1 / max(1, len(data.spec.classes)), judge.card.accuracy_test
    if right >= (chance + known) / 2:
        return []
    return [
        f"the judge of {judge.card.data} does not fit these data: it recognises {right:.0%} of the real samples, and"
        f" {known:.0%} of its own; figures over it mean little\n"
        "  train one: hybridgen judge DATA --out judge.safetensors, then metrics.judge=judge.safetensors"
    ]


def _able(
    metrics: Mapping[str, Metric], drawn: int, reference: int, extractor: Extractor
) -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics that can measure so many samples, and why the others cannot."""
    able, unfit = {}, {}
    for name, metric in metrics.items():
        try:
            metric.check(drawn, reference, extractor.facts["dim"])
            able[name] = metric
        except UserError as error:
            unfit[name] = str(error).splitlines()[0]
    return able, unfit


def _on_inception(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {name: metric for name, metric in metrics.items() if name.removesuffix("_few") in _INCEPTION}


def _measured(
    metrics: Mapping[str, Metric], extractor: Extractor, drawn: tuple[Tensor, Tensor | None], data: Data,
    settings: Metrics, base: Mapping[str, Any],
) -> dict[str, Figure]:  # fmt: skip
    """The metrics over one extractor's features, named after it."""
    stored, labels = drawn
    real = _real(data, extractor, settings, len(stored))
    features, predicted = extractor(stored)
    sample = Sample(features, labels, predicted, stored)
    is_inception = isinstance(extractor, InceptionFeatures)
    figures = {}
    for card, metric in _able(metrics, len(stored), len(real.reference), extractor)[0].items():
        for name, value in metric.measure(sample, real).items():
            renamed = _renamed(name) if is_inception else name
            facts = {
                **base, "metric": _title(renamed), "card": card, "reference_count": len(real.reference),
                "feature": None if name in _ON_PIXELS else extractor.facts,
            }  # fmt: skip
            figures[renamed] = figure(value, facts)
    return figures


def _real(data: Data, extractor: Extractor, settings: Metrics, count: int) -> Real:
    """The reference split whole; as control the other split, cut to as many samples as were drawn."""
    train, test = data.split("train"), data.split("test")
    reference, other = (train, test) if settings.reference == "train" else (test, train)
    rows = torch.from_numpy(np.random.default_rng(settings.seed).permutation(len(other))[:count])
    return Real(
        reference=_seen(reference, extractor, torch.arange(len(reference))), control=_seen(other, extractor, rows),
        test=test, train=train, medium=data.medium, classes=data.spec.classes,
    )  # fmt: skip


def _seen(split: Split, extractor: Extractor, rows: Int[Tensor, " K"]) -> Sample:
    """Features of some rows of a split, read piece by piece."""
    parts = [extractor(stored) for stored in split.chunks(rows=rows)]
    guesses = [guess for _, guess in parts if guess is not None]
    labels = None if split.labels is None else split.labels[rows]
    return Sample(np.concatenate([features for features, _ in parts]), labels, torch.cat(guesses) if guesses else None)


def _renamed(name: str) -> str:
    head, _, tail = name.partition("_")
    return f"{_INCEPTION[head]}_{tail}" if tail else _INCEPTION[head]


def _title(name: str) -> str:
    """What the figure is called in a sentence: the longest known beginning, then what follows it."""
    known = max((n for n in _TITLES if name == n or name.startswith((f"{n}_", f"{n}/"))), key=len, default=None)
    if known is None:
        return name
    rest = name[len(known) + 1 :]
    return f"{_TITLES[known]}, {rest}" if rest else _TITLES[known]
