"""The contract of a conditioner: what the user asks for, as vectors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.types import Condition


class Conditioner(nn.Module, ABC):
    """Turns a batch into a condition and knows what asking for nothing looks like."""

    text_features: int = 0  # F of a language model's vectors, where it reads any
    length: int = 0  # P, how many of them
    encoder: str = ""  # that language model's name or folder
    system: str = ""  # text that it reads before each prompt

    @abstractmethod
    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """The condition of `batch` (B rows), with its null. `rng` given: training, some rows become the null.

        `batch["label"]` is (B,) int64. Where there are `text_features`, `batch["text"]` is (B, P, F) and
        `batch["text_mask"]` (B, P), True where a token is.
        """

    def blank(self, rows: int, device: torch.device | None = None) -> dict[str, Tensor]:
        """A batch that asks for nothing in particular, to see what flows: the first class, or a text of zeros."""
        batch = {"label": torch.zeros(rows, dtype=torch.long, device=device)}
        if self.text_features:
            batch["text"] = torch.zeros(rows, self.length, self.text_features, device=device)
            batch["text_mask"] = torch.ones(rows, self.length, dtype=torch.bool, device=device)
        return batch
