"""Tokens on disk, runs/tokens/<hash>/: written once for each tokenizer and data set, by whoever comes, and read by all.

The rows are divided into chunks. Whoever holds the lock of a chunk encodes it, writes it to its place in each file and
then marks it done; several processes, of one run or of several, write side by side. A killed one loses its chunk alone.
Rows are read by their place in the file, not mapped into memory: what was read does not stay in the process.
"""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from hybridgen.data.base import Column
from hybridgen.system.errors import UserError
from hybridgen.system.files import LockedError, lock, write_atomic
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.tokens import Views, code_type, encode
from hybridgen.types import TokenSpec

FORMAT = 1  # raise it when the same key begins to mean other files
WAIT = 0.2  # seconds between two looks at chunks that others write
REMIND = 10.0  # seconds between two words about it

Make = Callable[[Tensor], Mapping[str, Tensor]]  # rows to their columns


@dataclass(frozen=True)
class Stored:
    """One file: a value of each row."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """Of one row."""
        return prod(self.shape) * self.dtype.itemsize


class Store:
    """Columns of many rows on disk, written chunk by chunk by whoever comes.

    Args:
        folder: where they lie.
        rows: how many there are.
        files: the columns.
        chunks: the rows that are made together; each is a run of consecutive rows.
    """

    def __init__(
        self, folder: Path, rows: int, files: Mapping[str, Stored], chunks: Sequence[Int[Tensor, " m"]]
    ) -> None:
        self.folder, self.rows, self.files, self.chunks = folder, rows, files, chunks

    def write(self, make: Make, about: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Makes what is missing, together with whoever else does.

        Args:
            make: the columns of some rows.
            about: what the store holds; another one may not be written here.
            say: is told of a long wait.

        Raises:
            UserError: the folder holds something else.
        """
        self._begin(about)
        spoke = time.monotonic()
        while missing := [i for i in range(len(self.chunks)) if not self._mark(i).exists()]:
            wrote = [i for i in missing if self._write(i, make)]
            if not wrote:
                time.sleep(WAIT)
            if time.monotonic() - spoke > REMIND:
                spoke = time.monotonic()
                done = len(self.chunks) - len(missing) + len(wrote)
                say(f"{self.folder}: {done} of {len(self.chunks)} chunks written")

    def read(self, rows: Int[Tensor, " n"]) -> dict[str, Tensor]:
        """These rows of every column, read from their places."""
        return {name: self._read(name, column, rows) for name, column in self.files.items()}

    def _begin(self, about: Mapping[str, Any]) -> None:
        """The files at their full length, and what they hold."""
        meta, told = self.folder / "tokens.json", json.dumps({"format": FORMAT, "rows": self.rows, **about}, indent=1)
        with lock(self.folder / ".lock"):
            if meta.exists() and meta.read_text() != told + "\n":
                raise UserError(f"{meta}: tokens of something else; remove the folder, and they are made again")
            for name, column in self.files.items():
                with (self.folder / f"{name}.bin").open("ab") as file:
                    file.truncate(column.bytes * self.rows)
            for kind in ("done", "locks"):
                (self.folder / kind).mkdir(exist_ok=True)
            write_atomic(meta, told + "\n")

    def _write(self, chunk: int, make: Make) -> bool:
        """Makes a chunk, unless another process does or has; whether this one did."""
        try:
            with lock(self.folder / "locks" / str(chunk), wait=False):
                if self._mark(chunk).exists():
                    return False
                rows = self.chunks[chunk]
                for name, values in make(rows).items():
                    self._put(name, int(rows[0]), values)
                self._mark(chunk).touch()
                return True
        except LockedError:
            return False

    def _put(self, name: str, start: int, values: Tensor) -> None:
        handle = os.open(self.folder / f"{name}.bin", os.O_WRONLY)
        try:
            content, place = memoryview(values.contiguous().numpy().tobytes()), start * self.files[name].bytes
            while content:
                written = os.pwrite(handle, content, place)
                content, place = content[written:], place + written
            os.fsync(handle)
        finally:
            os.close(handle)

    def _read(self, name: str, column: Stored, rows: Int[Tensor, " n"]) -> Tensor:
        out = torch.empty(len(rows), *column.shape, dtype=column.dtype)
        buffer = memoryview(out.view(-1).view(torch.uint8).numpy().data) if out.numel() else memoryview(b"")
        handle = os.open(self.folder / f"{name}.bin", os.O_RDONLY)
        try:
            for i, row in enumerate(rows.tolist()):
                part = buffer[i * column.bytes : (i + 1) * column.bytes]
                if os.preadv(handle, [part], row * column.bytes) != column.bytes:
                    raise UserError(
                        f"{self.folder / name}.bin: shorter than its rows; remove the folder and start again"
                    )
        finally:
            os.close(handle)
        return out

    def _mark(self, chunk: int) -> Path:
        return self.folder / "done" / str(chunk)


class DiskTokens:
    """Tokens of all views, on disk.

    Args:
        folder: where they lie.
        views: what was encoded; gives the columns that are not stored.
        spec: of the tokenizer.
    """

    def __init__(self, folder: Path, views: Views, spec: TokenSpec) -> None:
        self.views, self.store = views, Store(folder, len(views), files_of(spec), views.chunks())

    def __len__(self) -> int:
        return len(self.views)

    def write(
        self, tokenizer: Tokenizer, device: torch.device, about: Mapping[str, Any], say: Callable[[str], None]
    ) -> None:
        """Encodes what is missing, together with whoever else does."""
        self.store.write(lambda rows: encode(tokenizer, self.views.x(rows), device), about, say)

    def take(self, rows: Int[Tensor, " n"]) -> Mapping[str, Column]:
        """Latents and codes, with the columns of the samples."""
        return {**self.store.read(rows), **self.views.columns(rows)}


def files_of(spec: TokenSpec) -> dict[str, Stored]:
    """The stored columns."""
    codes = {f"codes{s}": Stored((prod(g),), code_type(spec)) for s, g in enumerate(spec.scales)} if spec.vocab else {}
    return {"latent": Stored((spec.channels, *spec.grid), torch.float32), **codes}
