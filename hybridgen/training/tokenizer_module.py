"""Stage 1 as a Lightning module: a tokenizer learns to reconstruct samples."""

from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.batches import mirrored
from hybridgen.training.optimiser import clip, lr_share, make_optimiser
from hybridgen.training.settings import Training


class TokenizerModule(pl.LightningModule):
    """Thin: the loss is the tokenizer's own.

    Args:
        tokenizer: what is trained.
        medium: restores the samples, and says how they may be mirrored.
        settings: of this stage.
        seed: keys every draw.
    """

    def __init__(self, tokenizer: Tokenizer, medium: Medium, settings: Training, seed: int) -> None:
        super().__init__()
        self.tokenizer, self.medium, self.settings, self.seed = tokenizer, medium, settings, seed
        self.losses: dict[str, Tensor] = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of stored samples `batch["x"]` (B, X, *size)."""
        self.losses = self.tokenizer.loss(*self.inputs(batch))
        return self.losses["loss"]

    def inputs(self, batch: dict[str, Any]) -> tuple[Float[Tensor, "B X *size"], Draws]:
        """The samples of a batch, some of them mirrored, and what its step draws from; enters the step's phase."""
        index = batch["index"]
        rng = Draws(self.seed, "tokenizer", index, rank=self.global_rank, world=self.trainer.world_size)
        self.tokenizer.schedule(self.global_step / self.settings.steps)
        x = self.medium.restore(batch["x"])
        axes = self.medium.mirrors if self.settings.flip else ()
        return mirrored(x, axes, rng), rng

    def on_fit_start(self) -> None:
        """Compiles the tokenizer's networks if asked to; in place, so that names in checkpoints stay as they are."""
        if self.settings.compile:
            for network in self.tokenizer.children():
                network.compile()

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clips here, since Lightning refuses to under mixed precision with a fused optimiser."""
        clip(self.parameters(), self.settings.clip)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate follows `lr_share` a step."""
        optimiser = make_optimiser(self.tokenizer, self.settings)
        shape = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: lr_share(step, self.settings))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": shape, "interval": "step"}}
