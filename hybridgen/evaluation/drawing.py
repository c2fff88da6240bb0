"""Pictures for judging: as bytes, with the class asked for."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from hybridgen.generate.trained import Trained
from hybridgen.media.image import to_bytes
from hybridgen.system.distributed import map_over_ranks


def balanced_labels(count: int, classes: int) -> list[int]:
    """Every class as often as every other, in turn."""
    return [i % max(1, classes) for i in range(count)]


def draw_pictures(
    trained: Trained,
    count: int,
    seed: int,
    batch: int,
    advance: Callable[[int], None] | None = None,
    **settings: Any,
) -> tuple[UInt8[Tensor, "N X *size"], Int[Tensor, " N"]]:
    """`count` pictures of seeds `seed`, `seed` + 1, … in all classes alike, as bytes, with their labels.

    The processes of a run draw them together, and each has all of them in the end. `settings` change the sampler;
    `advance` is told how many are drawn.
    """
    labels = balanced_labels(count, len(trained.data.classes))

    def draw(cut: slice) -> UInt8[Tensor, "B X *size"]:
        drawn = to_bytes(trained.sample(labels[cut], seed=seed + cut.start, batch=batch, **settings))
        if advance is not None:
            advance(cut.stop)
        return drawn

    return map_over_ranks(count, batch, draw, (trained.data.channels, *trained.data.size)), torch.tensor(labels)
