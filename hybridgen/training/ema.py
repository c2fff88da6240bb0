"""An average of the weights over training: the weights that are sampled, evaluated and saved.

Warm-up as in methods.md, 4.4: decay min(cap, (1 + n) / (10 + n)), whose mean age is a tenth of the run.
Buffers (codebooks, measured constants) are not averaged: they are averages already, or constants.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages of a module's parameters.

    Args:
        module: whose parameters are averaged.
        decay: the cap; 0 keeps the latest weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.names = [name for name, _ in module.named_parameters()]
        self.live = [p for _, p in module.named_parameters()]
        self.average = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self) -> None:
        """Takes note of the live weights."""
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self.average, [p.detach() for p in self.live], share)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The module carries the averages inside this block, and its live weights after it, whatever happens."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def copy_to_live(self) -> None:
        """The end of training: the module keeps the averages."""
        for p, average in zip(self.live, self.average, strict=True):
            p.copy_(average)

    def follow_device(self) -> None:
        """Moves the averages to where the weights are."""
        self.average = [a.to(p.device) for a, p in zip(self.average, self.live, strict=True)]

    def state_dict(self) -> dict[str, Tensor | int]:
        """Plain: names to averages, and how many updates."""
        return {"updates": self.updates, **dict(zip(self.names, self.average, strict=True))}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """The inverse of `state_dict`."""
        self.updates = int(state["updates"])
        for name, average in zip(self.names, self.average, strict=True):
            saved = state[name]
            assert isinstance(saved, Tensor), f"{name} is a tensor in a saved average"
            average.copy_(saved)

    @torch.no_grad()
    def _swap(self) -> None:
        for p, average in zip(self.live, self.average, strict=True):
            kept = p.detach().clone()
            p.copy_(average)
            average.copy_(kept)
