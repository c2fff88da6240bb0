"""Randomness by key: each draw is a function of what it is for, never of what was drawn before.

A resumed run therefore needs no saved random state, and two ranks draw what one would.
"""

import hashlib

import torch
from torch import Generator, Tensor

from hybridgen.system.distributed import all_gather


def keyed(*key: object) -> Generator:
    """A CPU generator whose stream depends on `key` alone, in every process and on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return Generator().manual_seed(int.from_bytes(digest, "little") & (2**63 - 1))


class Draws:
    """Random numbers of one training step, drawn for the global batch and sliced by rank.

    Args:
        key: what the draws are for, such as (seed, "loss", step).
        rank, world: this process among those that share the batch. Rows of the first axis are split in rank order.
    """

    def __init__(self, *key: object, rank: int = 0, world: int = 1) -> None:
        self.generator = keyed(*key)
        self.rank, self.world = rank, world

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, (B, ...), float32 on the CPU."""
        return self._mine(torch.randn(self._whole(shape), generator=self.generator), shape)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (B, ...), float32 on the CPU."""
        return self._mine(torch.rand(self._whole(shape), generator=self.generator), shape)

    def shared(self) -> float:
        """One uniform number in [0, 1) that every rank sees alike."""
        return torch.rand((), generator=self.generator).item()

    def everyone(self, x: Tensor) -> Tensor:
        """The rows of all ranks, for statistics of the global batch; no gradient passes."""
        return x if self.world == 1 else all_gather(x)

    def common(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1) that every rank sees alike, float32 on the CPU."""
        return torch.rand(shape, generator=self.generator)

    def _whole(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] * self.world, *shape[1:])

    def _mine(self, drawn: Tensor, shape: tuple[int, ...]) -> Tensor:
        return drawn[self.rank * shape[0] : (self.rank + 1) * shape[0]]
