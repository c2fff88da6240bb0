"""Drawn pictures in, figures with their protocols out: what `train` and `evaluate` call.

Both sides are bytes before any network sees them, and neither is resized for the judge.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.data.base import Data, Examples
from hybridgen.evaluation.base import Metric, Real, Sample
from hybridgen.evaluation.features import Extractor, InceptionFeatures, JudgeFeatures
from hybridgen.evaluation.judge import find_judge
from hybridgen.evaluation.protocol import SAID, Figure, figure, missing_fields
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserError, UserErrors

# Names of the figures when the features are Inception's: by these alone may they be called FID.
_INCEPTION = {"frechet": "fid", "kid": "kid_inception"}
_ON_PIXELS = ("nearest", "nearest_real", "near_copies")
_TITLES = {
    "frechet": "Fréchet distance (judge)", "fid": "FID", "kid": "kernel distance (judge)", "kid_inception": "KID",
    "precision": "precision", "recall": "recall", "accuracy": "accuracy by the judge",
    "nearest": "median distance to the nearest training picture", "near_copies": "share of near copies",
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


def check_metrics(data: Data, settings: Metrics, registry: Registry | None = None) -> None:
    """Looks for all that `judge_pictures` will need, before any picture is drawn.

    Raises:
        UserError: as `judge_pictures` would.
    """
    metrics, reference = find_metrics(settings, registry or Registry()), len(data.load(settings.reference).x)
    judge = JudgeFeatures(find_judge(data, settings.judge), settings.batch, "cpu")
    for metric in metrics.values():
        metric.check(settings.samples, reference, judge.facts["dim"])
    if settings.inception is not None:
        inception = InceptionFeatures(settings.inception, 1, "cpu")
        for name in metrics.keys() & _INCEPTION.keys():
            metrics[name].check(settings.samples, reference, inception.facts["dim"])


def evaluate_samples(
    pixels: UInt8[Tensor, "N X *size"],
    labels: Int[Tensor, " N"],
    data: Data,
    settings: Metrics,
    protocol: Mapping[str, Any],
    *,
    registry: Registry | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Figure]:
    """Every figure of drawn pictures that the settings ask for.

    `protocol` says what only the caller knows: data (its name), model (hash), weights (ema or raw), sampler (its
    settings), seeds, precision, device; and whatever else belongs to the record.

    Raises:
        UserError: no judge for these data, an unknown metric, too few pictures for one.
    """
    base = {"kind": "drawn", **protocol}
    if missing := missing_fields(base, SAID):
        raise ValueError(f"the protocol of drawn pictures lacks {', '.join(missing)}")
    metrics = find_metrics(settings, registry or Registry())
    judge = JudgeFeatures(find_judge(data, settings.judge), settings.batch, device)
    base |= {
        "drawn": len(pixels), "class_distribution": labels.bincount(minlength=len(data.spec.classes)).tolist(),
        "reference": settings.reference, "reference_hash": data.fingerprint(), "rounding": "uint8",
    }  # fmt: skip
    figures = _measured(metrics, judge, pixels, labels, data, settings, base)
    if settings.inception is not None:
        some = {name: metric for name, metric in metrics.items() if name.removesuffix("_few") in _INCEPTION}
        inception = InceptionFeatures(settings.inception, min(settings.batch, 50), device)
        theirs = _measured(some, inception, pixels, labels, data, settings, base)
        figures |= theirs
    return figures


def _measured(
    metrics: Mapping[str, Metric], extractor: Extractor, pixels: Tensor, labels: Tensor, data: Data,
    settings: Metrics, base: Mapping[str, Any],
) -> dict[str, Figure]:  # fmt: skip
    """The metrics over one extractor's features, named after it."""
    real = _real(data, extractor, settings, len(pixels))
    features, predicted = extractor(pixels)
    drawn = Sample(pixels, labels, features, predicted)
    is_inception = isinstance(extractor, InceptionFeatures)
    figures = {}
    for card, metric in metrics.items():
        for name, value in metric.measure(drawn, real).items():
            renamed = _renamed(name) if is_inception else name
            facts = {
                **base, "metric": _title(renamed), "card": card, "reference_count": len(real.reference.pixels),
                "feature": None if name in _ON_PIXELS else extractor.facts,
            }  # fmt: skip
            figures[renamed] = figure(value, facts)
    return figures


def _real(data: Data, extractor: Extractor, settings: Metrics, count: int) -> Real:
    """The reference split whole; as control the other split, cut to as many pictures as were drawn."""
    splits = {"train": data.load("train"), "test": data.load("test")}
    other = splits["test" if settings.reference == "train" else "train"]
    rng = np.random.default_rng(settings.seed)
    rows = rng.permutation(len(other.x))[:count]
    control = Examples(other.x[rows], other.labels[rows])
    return Real(
        reference=_seen(splits[settings.reference], extractor), control=_seen(control, extractor),
        test=splits["test"], train=splits["train"], classes=data.spec.classes,
    )  # fmt: skip


def _seen(examples: Examples, extractor: Extractor) -> Sample:
    features, predicted = extractor(examples.x)
    return Sample(examples.x, examples.labels, features, predicted)


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
