"""This process among those that share a run's work. Alone, it is the first of one, and all of this costs nothing.

The first process speaks, writes and judges; the others train and draw their share. What they tell each other is JSON
and numbers, never objects.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed


def rank() -> int:
    """Which process this is, from 0."""
    return distributed.get_rank() if _connected() else 0


def world() -> int:
    """How many there are, on all machines."""
    return distributed.get_world_size() if _connected() else 1


def is_first() -> bool:
    """Whether this one writes and speaks."""
    return rank() == 0


def broadcast(make: Callable[[], Any]) -> Any:
    """What the first process makes, on every process; anything that JSON can say."""
    if world() == 1:
        return make()
    text = json.dumps(make()).encode() if is_first() else b""
    size = torch.tensor([len(text)])
    distributed.broadcast(size, 0)
    told = torch.tensor(list(text), dtype=torch.uint8) if is_first() else torch.empty(int(size), dtype=torch.uint8)
    distributed.broadcast(told, 0)
    return json.loads(bytes(told.tolist()))


def all_gather(x: Tensor) -> Tensor:
    """The rows of all processes, in their order; each has equally many. No gradient passes."""
    if world() == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    distributed.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def all_mean(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Each number, averaged over all processes."""
    if world() == 1:
        return {name: value.item() for name, value in values.items()}
    sums = torch.stack([value.detach().double().cpu() for value in values.values()])
    distributed.all_reduce(sums)
    return dict(zip(values, (sums / world()).tolist(), strict=True))


def any_rank(wish: bool) -> bool:
    """Whether any process wishes it."""
    if world() == 1:
        return wish
    votes = torch.tensor([int(wish)])
    distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
    return bool(votes.item())


def barrier() -> None:
    """Until all have come here."""
    any_rank(False)


def map_over_ranks(
    count: int, batch: int, make: Callable[[slice], Tensor], shape: tuple[int, ...], dtype: torch.dtype = torch.uint8
) -> Tensor:
    """Rows 0 ... `count` of what `make` makes, on every process; whole batches are dealt out in turn.

    A batch is the same wherever it is made, so its numbers do not depend on how many processes there are.

    Args:
        count: rows in all.
        batch: rows made at a time; the last batch may have fewer.
        make: makes the rows of a slice, on the CPU.
        shape, dtype: of one row.
    """
    parts = []
    for index, start in enumerate(range(0, count, batch)):
        cut = slice(start, min(start + batch, count))
        mine = index % world() == rank()
        parts.append(make(cut) if mine else torch.empty(cut.stop - cut.start, *shape, dtype=dtype))
    if world() > 1:
        for index, part in enumerate(parts):
            distributed.broadcast(part, index % world())
    return torch.cat(parts)


def _connected() -> bool:
    return distributed.is_available() and distributed.is_initialized()
