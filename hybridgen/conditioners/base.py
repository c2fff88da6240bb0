"""The contract of a conditioner: what the user asks for, as vectors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.types import Condition


class Conditioner(nn.Module, ABC):
    """Turns a batch into a condition and knows what asking for nothing looks like."""

    reads: tuple[str, ...] = ()  # columns of the data that it needs: "label", "text"
    text_features: int = 0  # F of a language model's vectors, where it reads them instead of the text itself
    length: int = 0  # P, tokens that a text is cut or padded to
    encoder: str = ""  # that language model's name or folder
    system: str = ""  # text that it reads before each prompt

    @abstractmethod
    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """The condition of `batch` (B rows), with its null. `rng` given: training, some rows become the null.

        `batch["label"]` is (B,) int64. A conditioner that reads text finds what `columns` gives: "text", (B, P, F)
        where there are `text_features` and (B, P) int64 elsewhere, and "text_mask" (B, P), True where a token is.
        """

    def columns(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What `forward` reads of B texts; a language model's vectors are made outside (`language_model.py`)."""
        raise NotImplementedError(f"{type(self).__name__} reads no text itself")

    def blank(self, rows: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """A batch that asks for nothing in particular, to see what flows: the first class, or a text of zeros."""
        batch = {"label": torch.zeros(rows, dtype=torch.long, device=device)}
        if self.text_features:
            batch["text"] = torch.zeros(rows, self.length, self.text_features, device=device)
            batch["text_mask"] = torch.ones(rows, self.length, dtype=torch.bool, device=device)
        elif "text" in self.reads:
            batch |= {name: column.to(device or "cpu") for name, column in self.columns(["text"] * rows).items()}
        return batch


def rows_in(batch: Mapping[str, Any]) -> int:
    """How many rows a batch has, by the first of its columns."""
    return next(len(column) for column in batch.values() if not isinstance(column, int))
