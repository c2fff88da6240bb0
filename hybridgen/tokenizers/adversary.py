"""An adversary in a tokenizer's training: a discriminator that tells reconstructions from data.

Source: VQGAN (arXiv:2012.09841), section 3.1. The settings stand with the tokenizer; the discriminator itself is no
part of it: the training makes it, and the checkpoint that a training goes on from holds it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt
from torch import nn

from hybridgen.nn.discriminator import NormKind, PatchDiscriminator
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


@dataclass(frozen=True, kw_only=True)
class Adversary(ABC):
    """Settings of the adversarial term, and of the discriminator's training. Cards: registry/adversary/.

    Args:
        weight: of the adversarial term, on top of the adaptive weight.
        adaptive: multiply it by the ratio of the gradients of both losses at the decoder's last layer, so that both
            pull alike.
        largest: the ratio is clamped to it.
        start: fraction of the training after which the discriminator learns and the tokenizer minds it.
        lr: highest learning rate of the discriminator, which follows the course of the tokenizer's.
        betas: of its AdamW, which has no weight decay.
    """

    weight: Annotated[float, Ge(0)] = 0.8
    adaptive: bool = True
    largest: Annotated[float, Gt(0)] = 1e4
    start: Annotated[float, Ge(0), Lt(1)] = 0.25
    lr: Annotated[float, Gt(0)] = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)

    def __post_init__(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas: {self.betas}: each is at least 0 and below 1")

    @abstractmethod
    def discriminator(self, data: DataSpec) -> nn.Module:
        """A network from data (B, X, *size) to logits (B, 1, *patches), with new weights."""


@dataclass(frozen=True, kw_only=True)
class PatchAdversary(Adversary):
    """A convolutional discriminator that judges overlapping patches.

    Args:
        width: channels of the first layer, a multiple of 8; they double with each layer up to eightfold.
        layers: that halve the sides.
        norm: of the inner layers. Batch norm mixes the rows of a batch, and of several processes each has its own
            statistics; group norm does neither.
    """

    width: Annotated[int, Ge(8)] = 64
    layers: Annotated[int, Ge(1)] = 3
    norm: NormKind = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 8:
            raise UserError(f"width: {self.width} is no multiple of 8")

    def discriminator(self, data: DataSpec) -> PatchDiscriminator:
        """A `PatchDiscriminator`."""
        return PatchDiscriminator(data.channels, data.size, self.width, self.layers, self.norm)
