"""Noise of sampling: one stream a sample, keyed by its seed, the purpose and the step.

A sample therefore depends on its seed alone, not on its batch or its place in it, and drawing the residual in more
steps leaves the codes as they were.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hybridgen.nn.draws import keyed


class Noise:
    """Draws for samples with these seeds, on the CPU in float32, then moved to `device`."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.seeds, self.device = list(seeds), device

    def uniform(self, purpose: str, step: int, *shape: int) -> Tensor:
        """Uniform in [0, 1), (B, *shape)."""
        drawn = [torch.rand(shape, generator=keyed(seed, purpose, step)) for seed in self.seeds]
        return torch.stack(drawn).to(self.device)

    def normal(self, purpose: str, step: int, *shape: int) -> Tensor:
        """Standard normal, (B, *shape)."""
        drawn = [torch.randn(shape, generator=keyed(seed, purpose, step)) for seed in self.seeds]
        return torch.stack(drawn).to(self.device)

    def gumbel(self, purpose: str, step: int, *shape: int) -> Tensor:
        """Standard Gumbel, (B, *shape): the largest of logits plus these is a draw from their softmax."""
        return -torch.log(-torch.log(self.uniform(purpose, step, *shape).clamp(1e-9, 1 - 1e-7)))
