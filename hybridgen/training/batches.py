"""Training batches as a function of (seed, index): a resumed run asks for the next index and gets the same data.

Which rows a batch holds depends on these two alone: not on how many processes read ahead, nor on how many train.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from hybridgen.data.base import Column
from hybridgen.nn.draws import Draws, keyed

ReadTexts = Callable[[Sequence[str]], dict[str, Tensor]]
AHEAD = 4  # batches that each reading process has ready


@runtime_checkable
class Rows(Protocol):
    """What is drawn from: a split of a data set, or its tokens."""

    def __len__(self) -> int:
        """How many rows there are."""

    def take(self, rows: Int[Tensor, " n"]) -> Mapping[str, Column]:
        """Columns of these rows."""


class Batches(Dataset[dict[str, Any]]):
    """Batches by their index. Each pass over the data is in a new order; a batch may straddle two passes.

    Args:
        source: what is drawn from.
        batch: samples of a batch over all ranks.
        seed: keys the orders, and which caption of several is taken.
        rank, world: this process among those that share a batch.
        texts: what becomes of captions; None leaves them out.
    """

    def __init__(
        self, source: Rows, batch: int, seed: int, *, rank: int = 0, world: int = 1, texts: ReadTexts | None = None
    ) -> None:
        self.source, self.batch, self.seed = source, batch, seed
        self.rank, self.world, self.texts = rank, world, texts
        self._pass, self._rows = -1, torch.empty(0, dtype=torch.long)  # the pass whose order is at hand

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Batch `index`, with its index inside."""
        columns = dict(self.source.take(self.rows(index)))
        captions = columns.pop("text", None)
        if self.texts is not None:
            columns |= self.texts(self._captions(captions, index))
        return {"index": index, **columns}

    def rows(self, index: int) -> Int[Tensor, " b"]:
        """Which rows batch `index` holds on this rank."""
        size = len(self.source)
        places = torch.arange(index * self.batch, (index + 1) * self.batch)
        passes = places // size
        rows = torch.cat([self._order(int(p))[places[passes == p] % size] for p in passes.unique()])
        return rows.tensor_split(self.world)[self.rank]

    def _order(self, number: int) -> Int[Tensor, " N"]:
        if self._pass != number:
            self._pass = number
            self._rows = torch.randperm(len(self.source), generator=keyed(self.seed, "order", number))
        return self._rows

    def _captions(self, texts: Any, index: int) -> list[str]:
        """One caption of each row, drawn by key."""
        uniform = Draws(self.seed, "caption", index, rank=self.rank, world=self.world).uniform(len(texts)).tolist()
        return [each[int(u * len(each))] if each else "" for each, u in zip(texts, uniform, strict=True)]


class Stream:
    """An endless stream of batches, from any index on, read ahead by processes of its own.

    Args:
        batches: the batches.
        start: index of the first.
        workers: processes that read ahead; 0: they are read when they are asked for.
        pinned: in memory from which a GPU copies faster.
    """

    def __init__(self, batches: Batches, start: int = 0, workers: int = 0, pinned: bool = False) -> None:
        self.batches, self.start, self.workers, self.pinned = batches, start, workers, pinned

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader: DataLoader[dict[str, Any]] = DataLoader(
            self.batches, batch_size=None, sampler=_From(self.start), num_workers=self.workers,
            prefetch_factor=AHEAD if self.workers else None, worker_init_fn=_alone, pin_memory=self.pinned,
            collate_fn=_as_it_is,
        )  # fmt: skip
        return iter(loader)

    def state_dict(self) -> dict[str, int]:
        """Nothing: where to begin is known from the step."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing: see `state_dict`."""


class _From(Sampler[int]):
    """All whole numbers from `start` on."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += 1


def _alone(_: int) -> None:
    """A reading process has one thread: the others are for training."""
    torch.set_num_threads(1)


def _as_it_is(batch: Any) -> Any:
    return batch


def mirrored(x: Tensor, axes: tuple[int, ...], rng: Draws) -> Tensor:
    """x (B, X, *size) with half of the rows mirrored along each of these axes."""
    for axis in axes:
        flip = rng.uniform(x.shape[0]).to(x.device) < 0.5
        x = torch.where(flip.view(-1, *[1] * (x.dim() - 1)), x.flip(axis), x)
    return x
