"""Class labels as learned vectors; one more vector stands for no class."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import nn

from hybridgen.conditioners.base import Conditioner
from hybridgen.errors import UserError
from hybridgen.nn.draws import Draws
from hybridgen.types import Condition


class LabelConditioner(Conditioner):
    """One vector a class.

    Args:
        classes: how many the data has.
        width: D of the backbone.
        drop: share of the training rows whose class is hidden, so that guidance has a null to lean on.
    """

    def __init__(self, classes: int, width: int, *, drop: Annotated[float, Ge(0), Le(1)] = 0.1) -> None:
        super().__init__()
        if classes < 1:
            raise UserError("the data has no classes: a label conditioner has nothing to embed; use card 'none'")
        self.drop = drop
        self.table = nn.Embedding(classes, width)
        self.null = nn.Parameter(torch.zeros(1, width))
        nn.init.normal_(self.table.weight, std=0.02)
        nn.init.normal_(self.null, std=0.02)

    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """Vectors of `batch["label"]` (B,); with `rng` a share `drop` of the rows becomes the null."""
        label = torch.as_tensor(batch["label"], device=self.null.device)
        vector = self.table(label)
        if rng is not None:
            hidden = rng.uniform(label.shape[0]).to(vector.device) < self.drop
            vector = torch.where(hidden[:, None], self.null, vector)
        return Condition(vector=vector, null=Condition(vector=self.null))
