"""Class labels as learned vectors; one more vector stands for no class."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import nn

from hybridgen.conditioners.base import Conditioner, rows_in
from hybridgen.nn.draws import Draws
from hybridgen.types import Condition


class LabelConditioner(Conditioner):
    """One vector for each class; without classes, one for all.

    Args:
        classes: how many the data have.
        width: D of the backbone.
        drop: share of the training rows whose class is hidden, so that guidance has a null to lean on.
        null_is: no class is a vector of its own, or one more row of the table.
    """

    def __init__(
        self,
        classes: int,
        width: int,
        *,
        drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        null_is: Literal["vector", "row"] = "vector",
    ) -> None:
        super().__init__()
        self.drop, self.reads = drop, ("label",) if classes else ()
        self.table = nn.Embedding(max(1, classes) + (null_is == "row"), width)
        self.null = nn.Parameter(torch.zeros(1, width)) if null_is == "vector" else None
        nn.init.normal_(self.table.weight, std=0.02)
        if self.null is not None:
            nn.init.normal_(self.null, std=0.02)

    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """Vectors of `batch["label"]` (B,), or of the only class; with `rng` a share `drop` is the null."""
        null = self.table.weight[-1:] if self.null is None else self.null
        given = batch["label"] if "label" in batch else torch.zeros(rows_in(batch), dtype=torch.long)
        label = torch.as_tensor(given, device=null.device)
        vector = self.table(label)
        if rng is not None:
            hidden = rng.uniform(label.shape[0]).to(vector.device) < self.drop
            vector = torch.where(hidden[:, None], null, vector)
        return Condition(vector=vector, null=Condition(vector=null))
