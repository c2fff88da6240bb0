"""A deep convolutional encoder and decoder: group norms, SiLU, attention on chosen levels; in one to three dimensions.

Sources: VQGAN (arXiv:2012.09841), table 7; latent diffusion (arXiv:2112.10752), appendix G. The networks of most
published tokenizers are of this shape; they differ in the settings of `NormedNetwork` alone.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch.nn.functional as F
from annotated_types import Ge, Gt
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.conv import CONV
from hybridgen.nn.network import Network
from hybridgen.nn.positions import to_grid
from hybridgen.system.errors import UserError


@dataclass(frozen=True, kw_only=True)
class NormedNetwork(Network):
    """Levels of residual blocks; all but the coarsest end by halving the grid.

    Args:
        base: channels that the multipliers count.
        multipliers: channels of each level over `base`, fine to coarse.
        decoder_multipliers: the decoder's own; empty takes the encoder's.
        encoder_blocks: residual blocks per level in the encoder.
        decoder_blocks: the same in the decoder.
        encoder_attention: levels with attention after each block in the encoder; 0 is the finest.
        decoder_attention: the same in the decoder.
        middle_attention: attention between the two blocks that stand at the coarsest grid.
        inner: channels between the networks and the convolutions next to the latent; 0 takes the latent's.
        kernel: side of the convolutions next to the latent.
        pad: where halving pads by one: at the end of each side only, or at both ends.
        groups: of the group norms; must divide every level's channels.
        eps: of the group norms.
    """

    base: Annotated[int, Ge(1)] = 128
    multipliers: tuple[Annotated[int, Ge(1)], ...] = (1, 1, 2, 2, 4)
    decoder_multipliers: tuple[Annotated[int, Ge(1)], ...] = ()
    encoder_blocks: Annotated[int, Ge(1)] = 2
    decoder_blocks: Annotated[int, Ge(1)] = 3
    encoder_attention: tuple[Annotated[int, Ge(0)], ...] = ()
    decoder_attention: tuple[Annotated[int, Ge(0)], ...] = ()
    middle_attention: bool = True
    inner: Annotated[int, Ge(0)] = 0
    kernel: Literal[1, 3] = 1
    pad: Literal["end", "both"] = "end"
    groups: Annotated[int, Ge(1)] = 32
    eps: Annotated[float, Gt(0)] = 1e-6

    def __post_init__(self) -> None:
        levels, mirrored = len(self.multipliers), self.decoder_multipliers or self.multipliers
        if not levels:
            raise UserError("multipliers: at least one level is needed")
        if len(mirrored) != levels:
            raise UserError(f"decoder_multipliers: {len(mirrored)} levels, but the encoder has {levels}")
        for multiplier in (1, *self.multipliers, *mirrored):
            if multiplier < 1 or self.base * multiplier % self.groups:
                raise UserError(f"groups: {self.groups} does not divide {self.base} x {multiplier} channels")
        if any(not 0 <= level < levels for level in (*self.encoder_attention, *self.decoder_attention)):
            raise UserError(f"encoder_attention, decoder_attention: levels are 0 to {levels - 1}, fine to coarse")

    @property
    def halvings(self) -> int:
        """One between each two levels."""
        return len(self.multipliers) - 1

    def encoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """A `NormedEncoder`."""
        return NormedEncoder(self, channels, dims, latent)

    def decoder(self, channels: int, dims: int, latent: int) -> nn.Module:
        """A `NormedDecoder`."""
        return NormedDecoder(self, channels, dims, latent)


class NormedEncoder(nn.Module):
    """Data to a map of vectors: levels fine to coarse, a middle, and a last convolution of its own.

    Args:
        net: the settings.
        channels: X of the data.
        dims: number of grid dimensions.
        latent: channels of the map.
    """

    def __init__(self, net: NormedNetwork, channels: int, dims: int, latent: int) -> None:
        super().__init__()
        conv, inner, width = CONV[dims], net.inner or latent, net.base
        self.inp = conv(channels, width, 3, padding=1)
        levels = []
        for i, multiplier in enumerate(net.multipliers):
            wide = net.base * multiplier
            resize = Halve(wide, dims, net.pad) if i < net.halvings else None
            levels.append(Level(net, dims, width, wide, net.encoder_blocks, i in net.encoder_attention, resize))
            width = wide
        self.levels = nn.ModuleList(levels)
        self.middle = _middle(net, dims, width)
        self.norm = _norm(net, width)
        self.out = conv(width, inner, 3, padding=1)
        self.mix = conv(inner, latent, net.kernel, padding=net.kernel // 2)

    def forward(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The map of x."""
        return self.mix(self.features(x))

    def features(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B I *grid"]:
        """What stands before the convolution next to the latent."""
        h = self.inp(x)
        for level in self.levels:
            h = level(h)
        return self.out(F.silu(self.norm(self.middle(h))))


class NormedDecoder(nn.Module):
    """The mirror of `NormedEncoder`: a first convolution, a middle, and levels coarse to fine.

    Levels have the numbers of the encoder's levels on the same grids: the last one runs first.

    Args:
        net, channels, dims, latent: as the encoder's.
    """

    def __init__(self, net: NormedNetwork, channels: int, dims: int, latent: int) -> None:
        super().__init__()
        conv, inner = CONV[dims], net.inner or latent
        widths = [net.base * multiplier for multiplier in net.decoder_multipliers or net.multipliers]
        self.mix = conv(latent, inner, net.kernel, padding=net.kernel // 2)
        self.inp = conv(inner, widths[-1], 3, padding=1)
        self.middle = _middle(net, dims, widths[-1])
        levels = []
        for i, (wide, width) in enumerate(zip(widths, [*widths[1:], widths[-1]], strict=True)):
            resize = Double(wide, dims) if i else None
            levels.append(Level(net, dims, width, wide, net.decoder_blocks, i in net.decoder_attention, resize))
        self.levels = nn.ModuleList(levels)
        self.norm = _norm(net, widths[0])
        self.out = conv(widths[0], channels, 3, padding=1)

    def forward(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The data of a map; unbounded, the caller clamps."""
        h = self.middle(self.inp(self.mix(latent)))
        for level in reversed(self.levels):
            h = level(h)
        return self.out(F.silu(self.norm(h)))


class Level(nn.Module):
    """Residual blocks at one grid, attention after each if asked for, then a change of grid, if any."""

    def __init__(
        self, net: NormedNetwork, dims: int, width: int, wide: int, blocks: int, attends: bool, resize: nn.Module | None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(NormedBlock(net, dims, wide if i else width, wide) for i in range(blocks))
        self.attention = nn.ModuleList(MapAttention(net, dims, wide) for _ in range(blocks if attends else 0))
        self.resize = resize or nn.Identity()

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B Cw *other"]:
        """The map on the next level's grid."""
        for i, block in enumerate(self.blocks):
            x = block(x)
            if len(self.attention):
                x = self.attention[i](x)
        return self.resize(x)


class NormedBlock(nn.Module):
    """skip(x) + conv(silu(norm(conv(silu(norm(x)))))); skip is a 1x1 convolution where channels change."""

    def __init__(self, net: NormedNetwork, dims: int, width: int, wide: int) -> None:
        super().__init__()
        conv = CONV[dims]
        self.first_norm = _norm(net, width)
        self.first = conv(width, wide, 3, padding=1)
        self.second_norm = _norm(net, wide)
        self.second = conv(wide, wide, 3, padding=1)
        self.skip = conv(width, wide, 1) if width != wide else nn.Identity()

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B Cw *grid"]:
        """Same grid as x."""
        h = self.first(F.silu(self.first_norm(x)))
        h = self.second(F.silu(self.second_norm(h)))
        return self.skip(x) + h


class MapAttention(nn.Module):
    """x + out(attention(norm(x))) over all positions of the grid, one head."""

    def __init__(self, net: NormedNetwork, dims: int, width: int) -> None:
        super().__init__()
        self.norm = _norm(net, width)
        self.qkv = CONV[dims](width, 3 * width, 1)
        self.out = CONV[dims](width, width, 1)

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *grid"]:
        """Same shape as x."""
        q, k, v = rearrange(self.qkv(self.norm(x)), "B (three C) ... -> three B 1 (...) C", three=3)
        mixed = rearrange(F.scaled_dot_product_attention(q, k, v), "B 1 N C -> B N C")
        return x + self.out(to_grid(mixed, tuple(x.shape[2:])))


class Halve(nn.Module):
    """A convolution of side 3 at every second position."""

    def __init__(self, width: int, dims: int, pad: Literal["end", "both"]) -> None:
        super().__init__()
        self.padding = (0 if pad == "end" else 1, 1) * dims
        self.conv = CONV[dims](width, width, 3, stride=2)

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *half"]:
        """Half of each side."""
        return self.conv(F.pad(x, self.padding))


class Double(nn.Module):
    """Every entry twice along each side, then a convolution of side 3."""

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.conv = CONV[dims](width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B C *double"]:
        """Twice each side."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _middle(net: NormedNetwork, dims: int, width: int) -> nn.Sequential:
    attention = MapAttention(net, dims, width) if net.middle_attention else nn.Identity()
    return nn.Sequential(NormedBlock(net, dims, width, width), attention, NormedBlock(net, dims, width, width))


def _norm(net: NormedNetwork, width: int) -> nn.GroupNorm:
    return nn.GroupNorm(net.groups, width, net.eps)
