"""The contract of a medium: how a sample is stored, shown, written and read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from hybridgen.system.errors import UserError
from hybridgen.system.files import write_atomic
from hybridgen.types import DataSpec, Grid


@dataclass(frozen=True)
class Sheet:
    """Many samples side by side, for people: one file, and the HTML element that shows it in a page.

    Args:
        suffix: ending of the file, such as ".png".
        content: the file, with the provenance inside.
        html: shows the same without any other file.
    """

    suffix: str
    content: bytes
    html: str

    def save(self, stem: Path) -> Path:
        """Writes `stem` + `suffix`, whole or not at all; the path written."""
        path = stem.with_name(stem.name + self.suffix)
        write_atomic(path, self.content)
        return path


class Medium(ABC):
    """How a sample x (X, *size) in [-1, 1] is stored, shown, written and read: the only place that knows a file format.

    A medium's options say what a sample looks like; cards: registry/medium/.
    """

    name: ClassVar[str]  # of its card, as `DataSpec.medium` has it
    unit: ClassVar[str]  # what one sample is called, such as "image"
    suffix: ClassVar[str]  # of the files that are written
    suffixes: ClassVar[frozenset[str]]  # of the files that are read, in lower case
    mirrors: ClassVar[tuple[int, ...]] = ()  # axes along which a mirrored sample is still one; the last is -1
    dtype: ClassVar[torch.dtype]  # of stored samples
    span: ClassVar[float]  # from the smallest to the largest stored value: the peak of a PSNR
    channels: int

    @classmethod
    @abstractmethod
    def of(cls, spec: DataSpec) -> "Medium":
        """The medium of samples that look like this."""

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """Size of a sample, `DataSpec.size`."""

    @property
    def rates(self) -> tuple[float | None, ...]:
        """Samples or frames per second of each axis; empty where no axis is time."""
        return ()

    @property
    def units(self) -> str:
        """What several samples are called."""
        return f"{self.unit}s"

    def spec(self, classes: Sequence[str] = ()) -> DataSpec:
        """What a data set of such samples offers."""
        return DataSpec(self.channels, self.grid, tuple(classes), self.name, self.rates)

    @abstractmethod
    def store(self, x: Float[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """What a file would hold of x: what is stored is what is evaluated."""

    @abstractmethod
    def restore(self, stored: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Stored samples in [-1, 1]."""

    @abstractmethod
    def decode(self, content: bytes, place: str) -> Shaped[Tensor, "X *size"]:
        """A stored sample from the bytes of a file of any size and encoding; `place` names the file in messages.

        Raises:
            UserError: the content is damaged, hostile, or no sample of this medium.
        """

    @abstractmethod
    def decode_mask(self, content: bytes, place: str) -> Float[Tensor, "1 *size"]:
        """1 where a given sample is kept, 0 where it is drawn, from the bytes of a file.

        Raises:
            UserError: as `decode`.
        """

    @abstractmethod
    def encode(self, stored: Shaped[Tensor, "X *size"], about: Mapping[str, Any]) -> bytes:
        """The bytes of a file that holds a sample, without loss, with `about` (JSON) as its provenance.

        Raises:
            UserError: the sample cannot be written, or `about` is not JSON or too long.
        """

    @abstractmethod
    def provenance(self, path: Path) -> dict[str, Any]:
        """What a file of ours says of its making; the sample itself is not decoded.

        Raises:
            UserError: the file is of another kind, damaged, or says nothing.
        """

    @abstractmethod
    def show(self, stored: Shaped[Tensor, "X *size"], title: str) -> str:
        """An HTML element that shows one sample."""

    @abstractmethod
    def sheet(
        self, stored: Shaped[Tensor, "N X *size"], about: Mapping[str, Any], *, columns: int | None = None,
        column_titles: Sequence[str] = (), row_titles: Sequence[str] = (),
    ) -> Sheet:  # fmt: skip
        """Samples row by row.

        Args:
            stored: the samples.
            about: provenance of the whole.
            columns: samples in a row; None: about as many as there are rows.
            column_titles: at most one for each column.
            row_titles: at most one for each row.
        """

    def write(self, path: Path, stored: Shaped[Tensor, "X *size"], about: Mapping[str, Any]) -> None:
        """Writes a sample with its provenance, whole or not at all."""
        write_atomic(path, self.encode(stored, about))

    def read(self, path: Path) -> Shaped[Tensor, "X *size"]:
        """The sample in a file.

        Raises:
            UserError: the file cannot be read, or `decode` refuses it.
        """
        return self.decode(read_bytes(path), str(path))

    def reads(self, path: Path) -> bool:
        """Whether a file has one of the endings that are read; hidden files are left alone."""
        return path.suffix.lower() in self.suffixes and not path.name.startswith(".")


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UserError: it cannot be read, or is empty.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not content:
        raise UserError(f"{path}: the file is empty")
    return content
