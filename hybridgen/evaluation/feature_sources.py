"""The features that metrics choose from: those of the judge, of random convolutions, or of Inception."""

from collections.abc import Callable

import torch

from hybridgen.data.base import Data
from hybridgen.evaluation.base import Extractor, Features
from hybridgen.evaluation.features import InceptionFeatures, JudgeFeatures, RandomFeatures
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.judge import find_judge
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserError

_TRIED = 500  # real samples that a judge is tried on
_TRAIN_ONE = "\n  train one: hybridgen judge DATA --out judge.safetensors, then metrics.judge=judge.safetensors"


class FromJudge(Features):
    """The judge of these data: the file of `metrics.judge`, else a shipped one; random convolutions without either."""

    label = "judge"

    def extractor(self, data: Data, settings: Metrics, device: torch.device | str) -> Extractor:
        """The judge, or random convolutions."""
        judge = find_judge(data, settings.judge)
        if judge is None:
            return RandomFeatures(data, settings.batch, device)
        return JudgeFeatures(judge, settings.batch, device)

    def notes(self, data: Data, settings: Metrics, extractor: Extractor) -> list[str]:
        """That there is no judge, or that the judge does not recognise these data."""
        if isinstance(extractor, JudgeFeatures):
            return _doubts(extractor, data)
        if len(data.spec.classes) < 2:
            why = "these data have no classes" if not data.spec.classes else "these data have one class"
            return [f"{why}, so no judge can be trained: distances use features of random convolutions"]
        said = (
            "there is no judge for these data: distances use features of random convolutions, and accuracy is left out"
        )
        return [said + _TRAIN_ONE]


class FromRandom(Features):
    """Convolutions that were never trained, for any data; figures over them compare only with one another."""

    label = "random"

    def extractor(self, data: Data, settings: Metrics, device: torch.device | str) -> Extractor:
        """The convolutions, scaled to the training samples."""
        return RandomFeatures(data, settings.batch, device)


class FromInception(Features):
    """Inception-v3 as clean-fid feeds it: what FID and KID are defined over.

    Args:
        file: Inception weights as clean-fid uses them, a TorchScript file, or `download`; null: that of
            `metrics.inception`.
    """

    label = "inception"
    media = ("image",)

    def __init__(self, *, file: str | None = None) -> None:
        self.file = file

    def why_not(self, settings: Metrics) -> str:
        """That no weights are at hand."""
        return "" if self.file or settings.inception else "no Inception weights at hand (metrics.inception=FILE)"

    def extractor(self, data: Data, settings: Metrics, device: torch.device | str) -> Extractor:
        """The network, which takes at most 50 images at a time."""
        file = self.file or settings.inception
        if file is None:
            raise UserError(self.why_not(settings))
        return InceptionFeatures(file, min(settings.batch, 50), device)


def figures_over(
    features: Features, judge: tuple[str, str], inception: tuple[str, str],
    declare: Callable[[str, str], tuple[FigureSpec, ...]],
) -> tuple[str, tuple[FigureSpec, ...]]:  # fmt: skip
    """The name of a metric's first figure, and its figures, which are called after the features they are over.

    Args:
        features: of the metric.
        judge: name and title over the judge's features; over others both end in the features' label.
        inception: name and title over Inception's features; no other features get them.
        declare: the figures, given name and title of the first.
    """
    name, title = judge
    if isinstance(features, FromInception):
        name, title = inception
    elif features.label != FromJudge.label:
        name, title = f"{name}_{features.label}", f"{title} ({features.label})"
    else:
        title = f"{title} (judge)"
    return name, declare(name, title)


def _doubts(extractor: JudgeFeatures, data: Data) -> list[str]:
    """What speaks against using a judge: it does not recognise these data, though their shape and classes fit."""
    split, card = data.split("test"), extractor.card
    rows = torch.arange(min(_TRIED, len(split)))
    assert split.labels is not None, "a judge is of data with classes"
    _, guesses = extractor(split.stored(rows))
    assert guesses is not None, "a judge guesses classes"
    right = float(torch.eq(guesses, split.labels[rows]).double().mean())
    chance, known = 1 / max(1, len(data.spec.classes)), card.accuracy_test
    if right >= (chance + known) / 2:
        return []
    return [
        f"the judge of {card.data} does not fit these data: it recognises {right:.0%} of the real samples, and"
        f" {known:.0%} of its own; figures over it mean little{_TRAIN_ONE}"
    ]
