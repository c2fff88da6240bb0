"""No condition: one learned vector for every row, so that backbones need no special case."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hybridgen.conditioners.base import Conditioner, rows_in
from hybridgen.nn.draws import Draws
from hybridgen.types import Condition


class NoConditioner(Conditioner):
    """The same vector for all; guidance has nothing to add.

    Args:
        width: D of the backbone.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(1, width))
        nn.init.normal_(self.vector, std=0.02)

    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """As many rows as the batch has; nothing of it is read."""
        vector = self.vector.expand(rows_in(batch), -1)
        return Condition(vector=vector, null=Condition(vector=self.vector))
