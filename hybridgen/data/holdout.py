"""Which samples of a training set are held out: the same ones in every process, balanced over the classes."""

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from hybridgen.data.base import MemorySplit, columns_at


def held_out(labels: Int[ndarray, " N"], share: float, key: str) -> tuple[Int[ndarray, " K"], Int[ndarray, " H"]]:
    """Rows that stay and rows that are held out, both ascending: `share` of each class, at least 1 of a class of 2.

    Guarantees that the two are disjoint, together all rows, and a function of (labels, share, key) alone.
    """
    rng = np.random.Generator(np.random.PCG64([len(labels), *key.encode()]))
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        chosen[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def part(whole: MemorySplit, share: float, key: str) -> tuple[MemorySplit, MemorySplit]:
    """Samples that stay and samples held out, by `held_out`."""
    labels = torch.zeros(len(whole), dtype=torch.long) if whole.labels is None else whole.labels
    stay, held = (torch.from_numpy(rows) for rows in held_out(labels.numpy(), share, key))
    return tuple(MemorySplit(whole.x[rows], **columns_at(whole.columns, rows)) for rows in (stay, held))  # type: ignore[return-value]
