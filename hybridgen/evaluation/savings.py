"""Multiply-accumulates that the sampling loop saves, because it keeps a result instead of computing it again.

Published counts are those of published code, which computes some results anew for every row, step or evaluation
although they are the same, and some that nobody reads. A count of ours plus what such code adds compares with a
published count.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from hybridgen.evaluation.cost import macs
from hybridgen.heads.base import ResidualHead
from hybridgen.nn.adaln import Modulation
from hybridgen.nn.attention import KeyValues
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid

REASONS = {
    "modulations": "what a condition does to each block, once a sample instead of at every step",
    "prefix": "logits where a code is drawn, instead of along the whole prefix",
    "times": "time and condition of the residual head, once instead of for every row and evaluation",
    "slots": "attention to the keys that are there, instead of to all there will be",
}


class Savings:
    """Collects the savings of one row over all steps; `by_reason` gives them at the end."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._heads: dict[Grid, int] = {}  # one evaluation of the head as in training
        self._filled: list[int] = []  # keys of a block after the prefix, then after each step
        self._modulated = 0

    @contextmanager
    def beginning(self, backbone: nn.Module) -> Iterator[None]:
        """Counts the modulations that the backbone makes in the block, where it begins: they hold for all steps."""

        def note(module: nn.Module, args: tuple[Tensor], _: object) -> None:
            assert isinstance(module, Modulation)
            self._modulated += module.linear.weight.numel() * prod(args[0].shape[:-1])

        hooks = [part.register_forward_hook(note) for part in backbone.modules() if isinstance(part, Modulation)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def prefix(self, hidden: Tensor, logits: Callable[[Tensor], object]) -> None:
        """The first code is drawn from the last of these hidden vectors, (1, P, D)."""
        self._counts["prefix"] += macs(lambda: logits(hidden)) - macs(lambda: logits(hidden[:, -1:]))

    def head(
        self, head: ResidualHead, target: Tensor, hidden: Tensor, grid: Grid, evaluations: int, executed: int
    ) -> None:
        """Adds what is saved in `evaluations` that cost `executed`; in training each position has a time of its own."""
        if grid not in self._heads:
            self._heads[grid] = macs(lambda: head.loss(target, hidden, grid, Draws("cost")))
        self._counts["times"] += evaluations * self._heads[grid] - executed

    def filled(self, caches: list[KeyValues]) -> None:
        """Notes how many keys are held; called after the prefix and after each step."""
        self._filled.append(next((cache.k.shape[2] for cache in caches if cache.k is not None), 0))

    def by_reason(self, caches: list[KeyValues], steps: int) -> dict[str, int]:
        """Multiply-accumulates that were saved, by reason."""
        widths = sum(cache.k.shape[1] * cache.k.shape[3] for cache in caches if cache.k is not None)
        unseen = sum((there - before) * (self._filled[-1] - there) for before, there in pairwise([0, *self._filled]))
        found = {"modulations": (steps - 1) * self._modulated, "slots": 2 * widths * unseen, **self._counts}
        return {reason: found[reason] for reason in REASONS if found.get(reason)}
