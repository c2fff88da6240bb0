"""The contract of a data set: what it holds, and its splits as whole tensors."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Int, UInt8
from torch import Tensor

from hybridgen.types import DataSpec

Split = Literal["train", "valid", "test"]


@dataclass
class Examples:
    """One split in memory: bytes, and a class index each (zeros without classes)."""

    x: UInt8[Tensor, "N X *size"]
    labels: Int[Tensor, " N"]


class Data(ABC):
    """A data set. Construction reads nothing; `spec` may look at names, `load` reads the pictures."""

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Channels, size and class names."""

    @abstractmethod
    def load(self, split: Split) -> Examples:
        """A split; `valid` is held out of the training data and never overlaps `test`.

        Raises:
            UserError: the files are absent, damaged, or not what they should be; the message says what to do.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what `load` would give: it names the tokenizers that were trained on it."""
