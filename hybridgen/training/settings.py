"""The numbers of one training stage."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from hybridgen.system.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a stage is trained. Shares are of the stage's steps.

    Args:
        steps: optimiser steps.
        batch: examples a step, over all devices.
        accumulate: parts that a batch is split into when it does not fit.
        lr: highest learning rate of AdamW.
        betas: of AdamW.
        weight_decay: on matrices; norms, biases, embeddings and codebooks have none.
        warmup: share over which the learning rate rises.
        final_lr: the cosine ends at this share of `lr`.
        restart_at: share at which the cosine begins anew (a phase that trains other parts); 1 never.
        restart_lr: highest learning rate of that second cosine.
        clip: largest gradient norm; 0 does not clip.
        ema: decay of the averaged weights, which are the ones that are sampled, evaluated and saved.
        flip: mirror half of the training samples along their last axis.
        compile: torch.compile the large networks; slower to start, rarely worth it on a CPU.
        log_every: steps between logged losses.
        check_every: steps between looks at held-out data.
        sample_every: steps between sample grids; 0 draws none.
        save_every: steps between checkpoints to resume from.
    """

    steps: Annotated[int, Ge(1)] = 2000
    batch: Annotated[int, Ge(1)] = 32
    accumulate: Annotated[int, Ge(1)] = 1
    lr: Annotated[float, Gt(0)] = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: Annotated[float, Ge(0)] = 0.03
    warmup: Annotated[float, Ge(0), Lt(1)] = 0.04
    final_lr: Annotated[float, Ge(0), Le(1)] = 0.0
    restart_at: Annotated[float, Gt(0), Le(1)] = 1.0
    restart_lr: Annotated[float, Gt(0)] = 1e-3
    clip: Annotated[float, Ge(0)] = 1.0
    ema: Annotated[float, Ge(0), Lt(1)] = 0.998
    flip: bool = True
    compile: bool = False
    log_every: Annotated[int, Ge(1)] = 50
    check_every: Annotated[int, Ge(1)] = 500
    sample_every: Annotated[int, Ge(0)] = 0
    save_every: Annotated[int, Ge(1)] = 200

    def __post_init__(self) -> None:
        if self.batch % self.accumulate:
            raise UserError(f"accumulate: {self.accumulate} parts of equal size cannot make a batch of {self.batch}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas: {self.betas}: each is at least 0 and below 1")
