"""Samples that lie in files of any number: looked over once, divided into splits, read when they are needed.

What is shared by all sources. A source lists entries and gives the bytes of one; how bytes become a sample is the
medium's affair. A collection that is small is read into memory; of a large one only names and columns are.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hybridgen.data.base import SPLITS, Column, Data, MemorySplit, Split, SplitName
from hybridgen.data.damage import damaged
from hybridgen.data.holdout import held_out
from hybridgen.data.index import THREADS, look_over
from hybridgen.media.base import Medium
from hybridgen.system.errors import UserError, unknown
from hybridgen.types import DataSpec

TEST_SHARE, VALID_SHARE = 0.1, 0.05  # held out of what names no such split
IN_MEMORY = 256 << 20  # bytes of stored samples up to which a collection is read into memory


@dataclass(frozen=True)
class Entry:
    """A sample at its source, not read yet.

    Args:
        name: for messages; no two entries share one.
        at: where the source finds it.
        stamp: another one when the content may have changed.
        label: name of its class; None where the source has no classes.
        texts: its captions.
        split: "train", "valid", "test", or nothing where the source does not say.
    """

    name: str
    at: Any
    stamp: str
    label: str | None = None
    texts: tuple[str, ...] = ()
    split: str = ""


@runtime_checkable
class Source(Protocol):
    """Where entries come from."""

    where: str  # for messages, and to know a source again

    def entries(self) -> list[Entry]:
        """All entries, in an order that depends on their names alone."""

    def content(self, entry: Entry) -> bytes:
        """The bytes of one entry; several threads may ask at once."""


class FileSplit(Split):
    """Samples that are read and decoded when they are asked for."""

    def __init__(self, entries: Sequence[Entry], source: Source, medium: Medium, columns: Mapping[str, Column]) -> None:
        self.entries, self.source, self.medium, self.columns = entries, source, medium, columns

    def __len__(self) -> int:
        return len(self.entries)

    def stored(self, rows: Int[Tensor, " n"]) -> Shaped[Tensor, "n X *size"]:
        """Decodes each; what is damaged by now is an error that names it."""
        if not len(rows):
            return torch.zeros(0, self.medium.channels, *self.medium.grid, dtype=self.medium.dtype)
        return torch.stack([self._decoded(self.entries[row]) for row in rows.tolist()])

    def in_memory(self) -> MemorySplit:
        """The same, read now."""
        with ThreadPoolExecutor(THREADS) as pool:
            samples = list(pool.map(self._decoded, self.entries))
        return MemorySplit(torch.stack(samples), **self.columns)

    def _decoded(self, entry: Entry) -> Shaped[Tensor, "X *size"]:
        return self.medium.decode(self.source.content(entry), entry.name)


class Collection:
    """A source's samples as splits.

    Args:
        source: lists and reads them.
        medium: decodes them.
        max_bad: damaged samples that are left out, and named, instead of refused.
    """

    def __init__(self, source: Source, medium: Medium, max_bad: int = 0) -> None:
        self.source, self.medium, self.max_bad = source, medium, max_bad

    @cached_property
    def entries(self) -> list[Entry]:
        """All entries, damaged ones included.

        Raises:
            UserError: there are none, or only some of them have a class.
        """
        entries = self.source.entries()
        if not entries:
            endings = " ".join(sorted(self.medium.suffixes))
            raise UserError(
                f"{self.source.where}: no {self.medium.units} found there\n  endings that are read: {endings}"
            )
        bare = [entry for entry in entries if entry.label is None]
        if bare and len(bare) < len(entries):
            raise UserError(
                f"{self.source.where}: {len(bare)} of {len(entries)} {self.medium.units} have no class, the first is"
                f" {bare[0].name}\n  give each one a class, or none of them"
            )
        return entries

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted; of all splits but the test split, which may have no others.

        Raises:
            UserError: the test split has a class of its own.
        """
        known = sorted({e.label for e in self.entries if e.split != "test" and e.label is not None})
        strange = next((e for e in self.entries if e.label is not None and e.label not in known), None)
        if strange is not None:
            raise UserError(unknown("class", strange.label, known, f"{self.source.where}: {strange.name}"))
        return tuple(known)

    @cached_property
    def damage(self) -> list[str]:
        """A message for each sample that cannot be used."""
        return [problem for problem in self._looked_over[1] if problem]

    def split(self, name: SplitName) -> Split:
        """A part of the collection, in memory where it is small.

        Raises:
            UserError: more samples are damaged than may be, or too few are there to hold some out.
        """
        return self._splits[name]

    def fingerprint(self) -> str:
        """Hash of what the splits hold; where the samples lie does not count."""
        told = repr((self.medium.spec(self.classes), [(name, self._digest(rows)) for name, rows in self._rows.items()]))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @cached_property
    def _looked_over(self) -> tuple[list[str], list[str]]:
        return look_over(self.entries, self.source, self.medium)

    @cached_property
    def _kept(self) -> Int[np.ndarray, " N"]:
        """Numbers of the entries that can be used."""
        hashes, _ = self._looked_over
        if len(self.damage) > self.max_bad:
            remedy = f"mend or remove them, or leave them out by data.max_bad_files={len(self.damage)}"
            raise damaged(self.damage, len(self.entries), self.source.where, remedy)
        return np.flatnonzero([bool(digest) for digest in hashes])

    @cached_property
    def _rows(self) -> dict[SplitName, Int[np.ndarray, " K"]]:
        """Numbers of the entries of each split: as the source says; what it does not say is held out, always alike."""
        kept = self._kept
        said = np.array([self.entries[row].split or "train" for row in kept])
        rows: dict[SplitName, Int[np.ndarray, " K"]] = {name: kept[said == name] for name in SPLITS}
        shares: dict[SplitName, float] = {"test": TEST_SHARE, "valid": VALID_SHARE}
        for name, share in shares.items():
            if not len(rows[name]):
                stay, held = held_out(self._labels(rows["train"]).numpy(), share, name)
                rows["train"], rows[name] = rows["train"][stay], rows["train"][held]
        if empty := [name for name in SPLITS if not len(rows[name])]:
            raise UserError(
                f"{self.source.where}: {len(kept)} {self.medium.units} are too few: nothing is left for {empty[0]}"
            )
        return rows

    @cached_property
    def _splits(self) -> dict[SplitName, Split]:
        one = self.medium.channels * prod(self.medium.grid) * torch.empty(0, dtype=self.medium.dtype).element_size()
        small = one * len(self._kept) <= IN_MEMORY
        splits = {name: self._file_split(rows) for name, rows in self._rows.items()}
        return {name: split.in_memory() if small else split for name, split in splits.items()}

    def _file_split(self, rows: Int[np.ndarray, " K"]) -> FileSplit:
        entries = [self.entries[row] for row in rows]
        columns: dict[str, Column] = {}
        if self.classes:
            columns["label"] = self._labels(rows)
        if any(entry.texts for entry in entries):
            columns["text"] = [entry.texts for entry in entries]
        return FileSplit(entries, self.source, self.medium, columns)

    def _labels(self, rows: Int[np.ndarray, " K"]) -> Int[Tensor, " K"]:
        """Class of each entry; zeros without classes."""
        number = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([number.get(self.entries[row].label or "", 0) for row in rows], dtype=torch.long)

    def _digest(self, rows: Int[np.ndarray, " K"]) -> str:
        digest, (hashes, _) = hashlib.sha256(), self._looked_over
        for row in rows:
            digest.update(repr((hashes[row], self.entries[row].label, self.entries[row].texts)).encode())
        return digest.hexdigest()


class CollectionData(Data):
    """Data whose samples are a collection: what is the same for every source."""

    _medium: Medium  # set by the constructor

    @property
    @abstractmethod
    def collection(self) -> Collection:
        """The samples."""

    @property
    def medium(self) -> Medium:
        """What the samples are."""
        return self._medium

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names; looks at names only."""
        return self.medium.spec(self.collection.classes)

    def split(self, name: SplitName) -> Split:
        """A split.

        Raises:
            UserError: the source is absent or damaged, or more samples are damaged than may be.
        """
        return self.collection.split(name)

    def fingerprint(self) -> str:
        """Hash of all contents, labels and captions."""
        return self.collection.fingerprint()

    def damage(self) -> list[str]:
        """A message for each sample that cannot be used."""
        return self.collection.damage
