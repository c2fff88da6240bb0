"""A codebook that learns by gradient, as the published vector quantisers do."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.codebook import nearest_of, unit


class LearntCodebook(nn.Module):
    """V vectors that the gradient of the quantiser's loss moves.

    Args:
        vocab: V.
        channels: C.
        normalise: vectors have unit length.
    """

    started = True  # it needs no k-means

    def __init__(self, vocab: int, channels: int, normalise: bool) -> None:
        super().__init__()
        self.normalise = normalise
        self.weight = nn.Parameter(torch.empty(vocab, channels))
        nn.init.uniform_(self.weight, -1 / vocab, 1 / vocab)

    @property
    def vectors(self) -> Float[Tensor, "V C"]:
        """The vector of each code."""
        return unit(self.weight, 1) if self.normalise else self.weight

    def nearest(self, x: Float[Tensor, "M C"]) -> Int[Tensor, " M"]:
        """The nearest code, in float32."""
        return nearest_of(x, self.vectors.detach())

    def start(self, x: Float[Tensor, "M C"], rng: Draws) -> None:
        """Does nothing."""

    def follow(self, x: Float[Tensor, "M C"], codes: Int[Tensor, " M"], rng: Draws) -> None:
        """Does nothing."""
