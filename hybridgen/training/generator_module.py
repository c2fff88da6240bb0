"""Stage 2 as a Lightning module: a generator learns to draw what the tokenizer made of the data."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws, keyed
from hybridgen.training.optimiser import clip, lr_share, make_optimiser
from hybridgen.training.settings import Training
from hybridgen.training.tokens import tokens_of


class GeneratorModule(pl.LightningModule):
    """Thin: the loss is the model's own. The tokenizer is frozen.

    Args:
        model: what is trained.
        settings: of this stage.
        seed: keys every draw.
    """

    def __init__(self, model: HybridModel, settings: Training, seed: int) -> None:
        super().__init__()
        self.model, self.settings, self.seed = model, settings, seed
        self.losses: dict[str, Tensor] = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of tokens: `batch["latent"]`, `batch["codes0"]` …, or of samples `batch["x"]`, encoded now."""
        key = self.seed, "generator", batch["index"]
        torch.manual_seed(keyed(*key, "dropout", self.global_rank).initial_seed())  # so that resuming saves no state
        rng = Draws(*key, rank=self.global_rank, world=self.trainer.world_size)
        self.losses = self.model.loss(tokens_of(batch, self.model.tokenizer), batch, rng)
        return self.losses["loss"]

    def configure_model(self) -> None:
        """Nothing: a module that is split over processes was split before (sharding.py); Lightning asks for this."""

    def on_fit_start(self) -> None:
        """Compiles the backbone if asked to; in place, so that names in checkpoints stay as they are."""
        if self.settings.compile:
            self.model.backbone.compile(dynamic=True)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clips here, since Lightning refuses to under mixed precision with a fused optimiser."""
        clip(self.parameters(), self.settings.clip)

    def configure_optimizers(self) -> Any:
        """AdamW; the learning rate follows `lr_share` a step."""
        optimiser = make_optimiser(self.model, self.settings)
        shape = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: lr_share(step, self.settings))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": shape, "interval": "step"}}
