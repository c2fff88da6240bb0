"""Stage 1 against an adversary: a tokenizer learns to reconstruct samples, a discriminator to tell them from data.

Source: VQGAN (arXiv:2012.09841), equations 6 and 7.

Lightning counts the steps of each optimiser that it has wrapped. Here it sees those of the tokenizer's alone, so
`global_step` counts training steps, as it does without an adversary: checkpoints, averages, the learning rate and
everything else that counts steps need to know nothing of the second optimiser.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.nn.discriminator import adaptive_weight, deceiving_loss, hinge_loss
from hybridgen.nn.draws import Draws, keyed
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.adversary import Adversary
from hybridgen.tokenizers.base import Reconstruction, Tokenizer
from hybridgen.training.optimiser import clip, lr_share
from hybridgen.training.settings import Training
from hybridgen.training.tokenizer_module import TokenizerModule
from hybridgen.types import DataSpec

APART = ("discriminator",)  # the part of the module whose weights are not averaged


class TokenizerAdversarialModule(TokenizerModule):
    """Both learn from the same reconstructions: first the tokenizer steps, then the discriminator.

    The checkpoint holds the discriminator and its optimiser; the tokenizer's weights file does not.

    Args:
        tokenizer: what is trained; it has an adversary.
        medium, settings, seed: as without an adversary.
        data: the data that are told apart.

    Raises:
        UserError: compiled networks with an adaptive weight.
    """

    def __init__(
        self, tokenizer: Tokenizer, adversary: Adversary, medium: Medium, settings: Training, seed: int, data: DataSpec
    ) -> None:
        super().__init__(tokenizer, medium, settings, seed)
        if settings.compile and adversary.adaptive:  # a compiled graph overwrites what a second pass would need
            raise UserError(
                "train.tokenizer.compile: the adaptive weight takes several backward passes through one graph, which a"
                " compiled one does not allow\n  compile=false, or model.tokenizer.adversary.adaptive=false"
            )
        self.automatic_optimization, self.adversary = False, adversary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(keyed(seed, "discriminator weights").initial_seed())
            self.discriminator = adversary.discriminator(data)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Backward passes of a part of a batch; with its last part both optimisers step."""
        self.losses = self.learn(batch)
        if (batch["index"] + 1) % self.settings.accumulate == 0:
            self.step()
        return self.losses["loss"]

    @property
    def active(self) -> bool:
        """Whether the discriminator takes part in this step."""
        return self.global_step >= self.adversary.start * self.settings.steps

    def learn(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The backward passes of both, each by its own loss; all losses."""
        x, rng = self.inputs(batch)
        made, parts = self.tokenizer.reconstruct(x, rng), self.settings.accumulate
        losses = dict(made.losses)
        if self.active:
            losses |= self.deceiving(made, rng)
            losses["loss"] = losses["loss"] + losses["adversarial_weight"] * losses["adversarial"]
        self.manual_backward(losses["loss"] / parts)
        if self.active:
            losses |= (found := self.telling_apart(x, made.data.detach()))
            self.manual_backward(found["discriminator"] / parts)
        return {name: loss.detach() for name, loss in losses.items()}

    def deceiving(self, made: Reconstruction, rng: Draws) -> dict[str, Tensor]:
        """The loss that the tokenizer minimises to deceive the discriminator, which is frozen here, and its weight."""
        self.discriminator.requires_grad_(False)
        loss = deceiving_loss(self.discriminator(made.data))
        self.discriminator.requires_grad_(True)
        weight = loss.new_tensor(self.adversary.weight)
        if self.adversary.adaptive:
            errors, deceives = (self._gradient(term, made.last, rng) for term in (made.losses["loss"], loss))
            weight = weight * adaptive_weight(errors, deceives, self.adversary.largest)
        return {"adversarial": loss, "adversarial_weight": weight}

    def telling_apart(self, real: Float[Tensor, "B X *size"], fake: Float[Tensor, "B X *size"]) -> dict[str, Tensor]:
        """The loss that the discriminator minimises, and its mean logits."""
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)
        logits = {"discriminator_real": of_real.detach().mean(), "discriminator_fake": of_fake.detach().mean()}
        return {"discriminator": hinge_loss(of_real, of_fake), **logits}

    def step(self) -> None:
        """One training step is done: both step, and the learning rates follow."""
        active = self.active  # of this step; the tokenizer's optimiser counts it
        optimiser, bare = cast(Any, self.optimizers())[0], self._discriminator_optimiser()
        clip(self.tokenizer.parameters(), self.settings.clip)
        share = lr_share(self.global_step, self.settings)
        optimiser.step()  # counts
        optimiser.zero_grad()
        cast(Any, self.lr_schedulers()).step()
        if active:
            clip(self.discriminator.parameters(), self.settings.clip)
            for group in bare.param_groups:
                group["lr"] = self.adversary.lr * share
            bare.step()  # does not
            bare.zero_grad()

    def on_fit_start(self) -> None:
        """Compiles the discriminator too."""
        super().on_fit_start()
        if self.settings.compile:
            self.discriminator.compile()

    def configure_optimizers(self) -> Any:
        """The tokenizer's, with its learning rate, and the discriminator's AdamW, whose rate `step` sets."""
        first, adversary = super().configure_optimizers(), self.adversary
        second = torch.optim.AdamW(
            self.discriminator.parameters(), lr=adversary.lr, betas=adversary.betas, weight_decay=0.0, fused=True
        )
        return [first["optimizer"], second], [first["lr_scheduler"]]

    def _discriminator_optimiser(self) -> torch.optim.Optimizer:
        """Without Lightning's wrapping, which would count its steps."""
        optimiser: torch.optim.Optimizer = cast(Any, self.optimizers(use_pl_optimizer=False))[1]
        return optimiser

    def _gradient(self, loss: Tensor, weight: Tensor, rng: Draws) -> Tensor:
        """The gradient of a loss by a weight, the mean over all processes."""
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        return rng.everyone(gradient[None]).mean(0)
