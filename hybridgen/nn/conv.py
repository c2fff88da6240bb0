"""Convolutional encoder and decoder, written over the number of grid dimensions (1: sound, 2: images, 3: video).

There are no normalisation layers, so samples of a batch never mix and small batches train alike. Each level halves the
grid.
`normed_conv.py` has the deeper kind, with norms and attention.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.network import Network

CONV: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_FOLD = {
    1: ("b c (l p) -> b (c p) l", ("p",)),
    2: ("b c (h p) (w q) -> b (c p q) h w", ("p", "q")),
    3: ("b c (t o) (h p) (w q) -> b (c o p q) t h w", ("o", "p", "q")),
}


def fold(x: Float[Tensor, "B C *size"], factor: int = 2) -> Float[Tensor, "B Cf *small"]:
    """Space to channels: each block of factor^dims positions becomes one position."""
    pattern, axes = _FOLD[x.dim() - 2]
    return rearrange(x, pattern, **dict.fromkeys(axes, factor))


def unfold(x: Float[Tensor, "B Cf *small"], factor: int = 2) -> Float[Tensor, "B C *size"]:
    """The inverse of `fold`."""
    pattern, axes = _FOLD[x.dim() - 2]
    source, target = pattern.split(" -> ")
    return rearrange(x, f"{target} -> {source}", **dict.fromkeys(axes, factor))


def channels_innermost(x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
    """The same numbers in the layout that a CPU convolves fastest: a step of stage 1 takes 3/4 of the time."""
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim(), torch.contiguous_format)
    return x.contiguous(memory_format=layout)


def zero(layer: nn.Module) -> None:
    """Sets every parameter of a layer to zero, so it has no effect at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), the second convolution zero at the start: the block begins as the identity."""

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.first = CONV[dims](channels, channels, 3, padding=1)
        self.second = CONV[dims](channels, channels, 3, padding=1)
        zero(self.second)

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Same shape as x."""
        return x + self.second(torch.relu(self.first(torch.relu(x))))


@dataclass(frozen=True, kw_only=True)
class LightNetwork(Network):
    """Residual blocks without norms; each level halves the grid, the first one by space to channels.

    Args:
        widths: channels of each level of the encoder, fine to coarse.
        encoder_blocks: residual blocks per level in the encoder.
        decoder_blocks: the same in the decoder.
    """

    widths: tuple[Annotated[int, Ge(1)], ...] = (32, 96)
    encoder_blocks: Annotated[int, Ge(0)] = 1
    decoder_blocks: Annotated[int, Ge(0)] = 2

    @property
    def halvings(self) -> int:
        """One per level."""
        return len(self.widths)

    def encoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """A `ConvEncoder`."""
        return ConvEncoder(channels, dims, latent, self.widths, self.encoder_blocks)

    def decoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """A `ConvDecoder`."""
        return ConvDecoder(channels, dims, latent, self.widths, self.decoder_blocks)


class ConvEncoder(nn.Module):
    """Data to a map of vectors, each level halving the grid.

    Args:
        channels: X of the data.
        dims: number of grid dimensions.
        latent: channels of the map.
        widths: channels of each level, fine to coarse; the grid shrinks by 2 ** len(widths).
        blocks: residual blocks per level.
    """

    def __init__(self, channels: int, dims: int, latent: int, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        conv = CONV[dims]
        layers: list[nn.Module] = [conv(channels * 2**dims, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            if i:
                layers.append(conv(widths[i - 1], width, 4, stride=2, padding=1))
            layers += [ResidualBlock(width, dims) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.out = conv(widths[-1], latent, 1)

    def forward(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The map of x."""
        return self.out(torch.relu(self.layers(channels_innermost(fold(x)))))


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: each level doubles the grid by channels to space.

    Args:
        channels, dims, latent, widths: as the encoder's.
        blocks: residual blocks per level.
    """

    def __init__(self, channels: int, dims: int, latent: int, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        conv = CONV[dims]
        self.inp = conv(latent, widths[-1], 3, padding=1)
        levels = []
        for width, finer in zip(reversed(widths), (*reversed(widths[:-1]), widths[0] // 2), strict=True):
            body = [ResidualBlock(width, dims) for _ in range(blocks)]
            levels.append(nn.Sequential(*body, nn.ReLU(), conv(width, finer * 2**dims, 3, padding=1)))
        self.levels = nn.ModuleList(levels)
        self.out = conv(widths[0] // 2, channels, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The data of a map; unbounded, the caller clamps."""
        x = self.inp(channels_innermost(latent))
        for level in self.levels:
            x = channels_innermost(unfold(level(x)))
        return self.out(torch.relu(x))
