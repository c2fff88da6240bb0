"""Training batches as a function of (seed, index): a resumed run asks for the next index and gets the same data.

The data lies in memory: on small machines worker processes cost more than they save.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from hybridgen.nn.draws import Draws, keyed


@dataclass
class Source:
    """Columns of equal length: names to tensors (N, ...)."""

    columns: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Batches:
    """An endless stream of batches, beginning at any index.

    Each pass over the data is in a new order; a batch that straddles two passes takes from both.

    Args:
        source: what is drawn from.
        batch: examples of a batch over all ranks.
        seed: names the orders.
        start: index of the first batch.
        rank, world: this process among those that share a batch.
    """

    def __init__(self, source: Source, batch: int, seed: int, start: int = 0, *, rank: int = 0, world: int = 1) -> None:
        self.source, self.batch, self.seed, self.start = source, batch, seed, start
        self.rank, self.world = rank, world
        self._pass, self._rows = -1, torch.empty(0, dtype=torch.long)  # the pass whose order is at hand

    def __iter__(self) -> Iterator[dict[str, Any]]:
        index = self.start
        while True:
            rows = self.rows(index)
            yield {"index": index, **{name: column[rows] for name, column in self.source.columns.items()}}
            index += 1

    def rows(self, index: int) -> Int[Tensor, " b"]:
        """Which examples batch `index` holds on this rank."""
        size = len(self.source)
        places = torch.arange(index * self.batch, (index + 1) * self.batch)
        passes = places // size
        rows = torch.cat([self._order(int(p))[places[passes == p] % size] for p in passes.unique()])
        return rows.tensor_split(self.world)[self.rank]

    def state_dict(self) -> dict[str, int]:
        """Nothing: where to begin is known from the step."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing: see `state_dict`."""

    def _order(self, number: int) -> Int[Tensor, " N"]:
        if self._pass != number:
            self._pass = number
            self._rows = torch.randperm(len(self.source), generator=keyed(self.seed, "order", number))
        return self._rows


def mirrored(x: Tensor, rng: Draws) -> Tensor:
    """x (B, X, *size) with half of the rows mirrored along the last axis."""
    flip = rng.uniform(x.shape[0]).to(x.device) < 0.5
    return torch.where(flip.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)
