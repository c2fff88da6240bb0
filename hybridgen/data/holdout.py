"""Which examples of a training set are held out: the same ones in every process, balanced over the classes."""

import numpy as np
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from hybridgen.data.base import Examples


def held_out(labels: Int[ndarray, " N"], share: float, key: str) -> tuple[Int[ndarray, " K"], Int[ndarray, " H"]]:
    """Rows that stay and rows that are held out, both ascending: `share` of each class, at least one if it has two.

    Guarantees that the two are disjoint, together all rows, and a function of (labels, share, key) alone.
    """
    rng = np.random.Generator(np.random.PCG64([len(labels), *key.encode()]))
    chosen = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = min(max(1, round(share * len(rows))), len(rows) - 1)
        chosen[rng.permutation(rows)[:count]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def part(x: Tensor, labels: Tensor, share: float, key: str) -> tuple[Examples, Examples]:
    """Examples that stay and examples held out, by `held_out`."""
    stay, held = held_out(labels.numpy(), share, key)
    return Examples(x[stay], labels[stay]), Examples(x[held], labels[held])
