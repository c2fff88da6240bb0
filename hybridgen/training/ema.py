"""An average of the weights over training: the weights that are sampled, evaluated and saved.

Warm-up as in methods.md, 4.4: decay min(cap, (1 + n) / (10 + n)), whose mean age is a tenth of the run.
Buffers (codebooks, measured constants) are not averaged: they are averages already, or constants.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hybridgen.system.distributed import is_first
from hybridgen.training.sharding import local, share_of, whole


class Ema:
    """Averages of a module's parameters; where these are split over processes, each keeps the average of its part.

    Args:
        module: whose parameters are averaged.
        decay: the cap; 0 keeps the latest weights.
        shown: the module that is looked at and kept in the end, of the same parameters, whole; None: `module` itself.
        apart: parts of the module that are not averaged.
    """

    def __init__(
        self, module: nn.Module, decay: float, shown: nn.Module | None = None, apart: Collection[str] = ()
    ) -> None:
        self.decay, self.updates = decay, 0
        named = [(name, p) for name, p in module.named_parameters() if name.partition(".")[0] not in apart]
        self.names, self.weights = [name for name, _ in named], [p for _, p in named]
        self.live = [local(p) for p in self.weights]
        self.average = [p.detach().clone() for p in self.live]
        self.shown = module if shown is None else shown
        self.in_place = shown is None

    @torch.no_grad()
    def update(self) -> None:
        """Takes note of the live weights."""
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self.average, [p.detach() for p in self.live], share)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """`shown` carries the averages inside this block, and a module in training its weights after it in any case."""
        if not self.in_place:
            self.copy_to_shown()
            with self._beside():
                yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def copy_to_shown(self) -> None:
        """The end of training: `shown` keeps the averages."""
        kept = dict(self.shown.named_parameters())
        for name, p, average in zip(self.names, self.weights, self.average, strict=True):
            kept[name].copy_(whole(average, p))

    def follow_device(self) -> None:
        """Moves the averages to where the weights are."""
        self.live = [local(p) for p in self.weights]
        self.average = [a.to(p.device) for a, p in zip(self.average, self.live, strict=True)]

    def state_dict(self) -> dict[str, Tensor | int]:
        """Plain: names to averages, and how many updates."""
        pairs = zip(self.names, self.weights, self.average, strict=True)
        return {"updates": self.updates, **{name: whole(average, p) for name, p, average in pairs}}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """The inverse of `state_dict`."""
        self.updates = int(state["updates"])
        for name, p, average in zip(self.names, self.weights, self.average, strict=True):
            saved = state[name]
            assert isinstance(saved, Tensor), f"{name} is a tensor in a saved average"
            average.copy_(share_of(saved, p))

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Inside this block the first process has `shown` where the weights are; else it lies in the CPU's memory."""
        if is_first():
            self.shown.to(self.live[0].device)
        try:
            yield
        finally:
            self.shown.cpu()

    @torch.no_grad()
    def _swap(self) -> None:
        for p, average in zip(self.live, self.average, strict=True):
            kept = p.detach().clone()
            p.copy_(average)
            average.copy_(kept)
