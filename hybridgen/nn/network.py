"""The contract of the networks on both sides of a latent: data to a map of vectors on a coarser grid, and back.

A network is a handful of settings; its weights are made when a tokenizer asks for them.
"""

from abc import ABC, abstractmethod

from torch import nn

from hybridgen.system.errors import UserError
from hybridgen.types import Grid


class Network(ABC):
    """Builds an encoder and a decoder, for any number of grid dimensions."""

    @property
    @abstractmethod
    def halvings(self) -> int:
        """How often the encoder halves each side."""

    @abstractmethod
    def encoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """From data (B, channels, *size) to a map (B, latent, *grid)."""

    @abstractmethod
    def decoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """From a map (B, latent, *grid) to data (B, channels, *size), unbounded.

        Its last layer is the one whose weight it registers last.
        """

    def grid(self, size: Grid) -> Grid:
        """The grid of the map of data of this size.

        Raises:
            UserError: a side cannot be halved so often.
        """
        factor = 2**self.halvings
        if any(side % factor for side in size):
            raise UserError(f"the network halves each side {self.halvings} times, and {factor} does not divide {size}")
        return tuple(side // factor for side in size)


def last_weight(network: nn.Module) -> nn.Parameter:
    """The weight of the last layer of a decoder, which has two axes at least."""
    return [weight for weight in network.parameters() if weight.dim() > 1][-1]
