"""The contract of a data set: what it holds, and its splits as samples by number."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.types import DataSpec

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")
Column = Tensor | Sequence[Any]  # (N, ...), or a list of N entries


class Split(ABC):
    """Samples by number, as the medium stores them, and their columns, which lie in memory.

    `columns` has what the data set has of: "label" (N,) int64; "text", for each sample its captions.
    """

    columns: Mapping[str, Column]

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are."""

    @abstractmethod
    def stored(self, rows: Int[Tensor, " n"]) -> Shaped[Tensor, "n X *size"]:
        """The samples of these numbers, as the medium stores them.

        Raises:
            UserError: a sample that was whole when the data were looked over cannot be read any more.
        """

    @property
    def labels(self) -> Int[Tensor, " N"] | None:
        """Class of each sample; None without classes."""
        labels = self.columns.get("label")
        assert labels is None or isinstance(labels, Tensor), "labels are a tensor"
        return labels

    def __getitem__(self, row: int) -> dict[str, Any]:
        """One sample as a dict: "x", stored, and its entry of each column."""
        taken = self.take(torch.tensor([row]))
        return {name: column[0] for name, column in taken.items()}

    def take(self, rows: Int[Tensor, " n"]) -> dict[str, Column]:
        """The samples of these numbers, "x", with their columns."""
        return {"x": self.stored(rows), **columns_at(self.columns, rows)}

    def chunks(self, size: int = 500, rows: Int[Tensor, " n"] | None = None) -> Iterator[Shaped[Tensor, "m X *size"]]:
        """Stored samples in order, `size` at a time; `rows`: these alone."""
        for some in (torch.arange(len(self)) if rows is None else rows).split(size):
            yield self.stored(some)


class MemorySplit(Split):
    """Samples that lie in memory.

    Args:
        x: stored samples.
        columns: what is known of each.
    """

    def __init__(self, x: Shaped[Tensor, "N X *size"], **columns: Column) -> None:
        self.x, self.columns = x, columns

    def __len__(self) -> int:
        return len(self.x)

    def stored(self, rows: Int[Tensor, " n"]) -> Shaped[Tensor, "n X *size"]:
        """Rows of the tensor."""
        return self.x[rows]


class Data(ABC):
    """A data set. Construction reads nothing; `spec` may look at names, `split` may look at all samples."""

    @property
    @abstractmethod
    def medium(self) -> Medium:
        """How its samples are stored, shown, written and read."""

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Channels, size, class names and medium."""

    @abstractmethod
    def split(self, name: SplitName) -> Split:
        """A part of the data; `valid` is held out of the training data and never overlaps `test`.

        Raises:
            UserError: the files are absent, damaged, or not what they should be; the message says what to do.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of all that `split` would give: it names what was trained on it."""

    def damage(self) -> list[str]:
        """A message for each sample of the source that cannot be used, whether or not it may be left out."""
        return []


def columns_at(columns: Mapping[str, Column], rows: Int[Tensor, " n"]) -> dict[str, Column]:
    """Entries of each column at these rows."""
    return {
        name: column[rows] if isinstance(column, Tensor) else [column[row] for row in rows.tolist()]
        for name, column in columns.items()
    }
