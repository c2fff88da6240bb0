"""Samples for evaluation: as a file would hold them, with the class asked for."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from hybridgen.generate.trained import Trained
from hybridgen.generate.write import requested
from hybridgen.system.distributed import map_over_ranks


def balanced_labels(count: int, classes: int) -> list[int]:
    """Every class as often as every other, in turn."""
    return [i % max(1, classes) for i in range(count)]


def draw_samples(
    trained: Trained,
    count: int,
    seed: int,
    batch: int,
    advance: Callable[[int], None] | None = None,
    **settings: Any,
) -> tuple[Shaped[Tensor, "N X *size"], Int[Tensor, " N"] | None]:
    """`count` samples of seeds `seed`, `seed` + 1, … as stored, in all classes alike and with
    their labels; of a model that reads text, captions of its test data in turn.

    The processes of a run draw them together, and each has all of them in the end. `settings` change the sampler;
    `advance` is told how many are drawn.
    """
    asked = trained.asked(count=count)

    def draw(cut: slice) -> Shaped[Tensor, "B X *size"]:
        drawn = trained.medium.store(
            trained.sample(**requested(asked[cut]), seed=seed + cut.start, batch=batch, **settings)
        )
        if advance is not None:
            advance(cut.stop)
        return drawn

    shape = (trained.data.channels, *trained.data.size)
    drawn = map_over_ranks(count, batch, draw, shape, trained.medium.dtype)
    return drawn, torch.tensor(asked) if isinstance(asked[0], int) else None
