"""What the data of an experiment are: counts, sizes, damage, time to read them, room that their tokens take."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hybridgen.assemble import assemble_settings, assemble_shell
from hybridgen.config.compose import Composed
from hybridgen.data.base import SPLITS, Data, Split
from hybridgen.system.errors import UserError
from hybridgen.training.tokens import Views, token_bytes, where_kept
from hybridgen.workflows.dry_run import in_own_words

TIMED = 500  # samples that are read to know how long reading takes
SHOWN, IN_ROW = 64, 8  # samples on the page; of each class
ROWS = 16  # classes up to which each has a row


@dataclass(frozen=True)
class DataSummary:
    """What is known of a data set before it is trained on.

    Args:
        spec: how a sample looks, in words.
        counts: samples of each split.
        classes: samples of each class in each split; empty without classes.
        captions: samples of each split that have one.
        stored_bytes: of one sample, as it is stored.
        damage: a message for each file that cannot be used.
        seconds: that reading the training split takes, by one process.
        token_bytes: of all views of the training split; None where the model does not fit these data.
        tokens: where they would be kept, "memory", "disk" or "none"; or what does not fit.
    """

    spec: str
    counts: Mapping[str, int]
    classes: Mapping[str, list[int]]
    captions: Mapping[str, int]
    stored_bytes: int
    damage: list[str]
    seconds: float
    token_bytes: int | None
    tokens: str


def summarise(composed: Composed, data: Data) -> DataSummary:
    """Looks at every split, and reads a few hundred samples.

    Raises:
        UserError: the data are absent, or more of them are damaged than may be.
    """
    splits = {name: data.split(name) for name in SPLITS}
    spec, train = data.spec, splits["train"]
    one = train.stored(torch.zeros(1, dtype=torch.long))
    bytes_, kept = _tokens(composed, data)
    per_split = [_counted(split.labels, len(spec.classes)) for split in splits.values()]
    return DataSummary(
        spec=f"{spec.medium}, {spec.channels} x {' x '.join(map(str, spec.size))}",
        counts={name: len(split) for name, split in splits.items()},
        classes={name: [each[i] for each in per_split] for i, name in enumerate(spec.classes)},
        captions={name: _captioned(split) for name, split in splits.items()},
        stored_bytes=one.nbytes,
        damage=data.damage(),
        seconds=_seconds(train),
        token_bytes=bytes_,
        tokens=kept,
    )


def samples_to_show(data: Data, seed: int = 0) -> tuple[Tensor, list[str]]:
    """Training samples, and titles of their rows: some of each class where there are few, else any."""
    split, classes = data.split("train"), data.spec.classes
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(split), generator=draw)
    if split.labels is None or not 1 <= len(classes) <= ROWS:
        return split.stored(rows[:SHOWN]), []
    labels = split.labels[rows]
    found = [rows[labels == label][:IN_ROW] for label in range(len(classes))]
    width = min(len(each) for each in found)
    if not width:
        raise UserError(f"data: class '{classes[[len(each) for each in found].index(0)]}' has no training sample")
    return split.stored(torch.cat([each[:width] for each in found])), list(classes)


def _tokens(composed: Composed, data: Data) -> tuple[int | None, str]:
    """Bytes of the training split's tokens, and where they would be kept."""
    try:
        with in_own_words(composed):
            spec = assemble_shell(composed, data.spec).tokenizer.spec
    except UserError as error:
        return None, str(error)
    settings = assemble_settings(composed, "train.generator")
    mirrors = data.medium.mirrors if settings is not None and settings.flip else ()
    views = Views(data.split("train"), data.medium, mirrors)
    return token_bytes(spec) * len(views), where_kept(composed.config["tokens"], spec, views)


def _counted(labels: Tensor | None, classes: int) -> list[int]:
    counts: list[int] = [] if labels is None else labels.bincount(minlength=classes).tolist()
    return counts


def _captioned(split: Split) -> int:
    return sum(1 for texts in split.columns.get("text", ()) if len(texts))


def _seconds(split: Split) -> float:
    """Time to read the split once, from some of its samples, which are read in a new order."""
    rows = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:TIMED]
    start = time.perf_counter()
    for _ in split.chunks(50, rows):
        pass
    return (time.perf_counter() - start) * len(split) / len(rows)
