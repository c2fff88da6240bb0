"""Rotary positions: queries and keys turned, pair by pair, by angles that grow with their coordinates.

Sources: RoPE (arXiv:2104.09864), eq. 34; several axes share out the pairs, as in LlamaGen (arXiv:2406.06525). HART
(arXiv:2410.10812, released code) pairs entries across the axes' shares instead, each turned by its own axis' angle: not
a rotation, but what its weights have learnt.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.system.errors import UserError

Pairing = Literal["axis", "interleaved", "crossed"]


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines for each entry of a head, and which entry each is paired with."""

    cos: Float[Tensor, "rows 1 n d"]
    sin: Float[Tensor, "rows 1 n d"]
    pairing: Pairing
    axes: int

    def rotate(self, x: Float[Tensor, "B h n d"]) -> Float[Tensor, "B h n d"]:
        """x cos + partner(x) sin."""
        return (x * self.cos + _partner(x, self.pairing, self.axes) * self.sin).to(x.dtype)

    def zero(self) -> "Rotation":
        """As many positions, but whatever is turned becomes zero."""
        return replace(self, cos=torch.zeros_like(self.cos), sin=torch.zeros_like(self.sin))

    def then(self, other: "Rotation") -> "Rotation":
        """This rotation for the first positions and another for those that follow."""
        rows = max(self.cos.shape[0], other.cos.shape[0])
        cos, sin = (
            torch.cat([a.expand(rows, -1, -1, -1), b.expand(rows, -1, -1, -1)], 2)
            for a, b in ((self.cos, other.cos), (self.sin, other.sin))
        )
        return replace(self, cos=cos, sin=sin)


class Rotary(nn.Module):
    """Angles coordinate x base^(-2 i / share), where each axis has its share of the head's entries.

    Args:
        width: d of a head.
        axes: of the grid.
        pairing: which entries are turned together: halves of each axis' share | neighbours | halves of the whole head.
        base: slows the last pairs.
    """

    rates: Tensor  # (d / (2 axes),)
    rates_along_a_line: Tensor  # (d / 2,): of a sequence that has one axis, such as a text

    def __init__(self, width: int, axes: int, pairing: Pairing, base: float = 10000.0) -> None:
        super().__init__()
        if width % (2 * axes):
            raise UserError(f"rotary: heads of width {width} have no pairs to share out among {axes} axes")
        self.axes, self.pairing = axes, pairing
        self.register_buffer("rates", _rates(width // axes, base), persistent=False)
        self.register_buffer("rates_along_a_line", _rates(width, base), persistent=False)

    def forward(self, coordinates: Float[Tensor, "rows n A"]) -> Rotation:
        """The rotation of positions on the grid (as many coordinates as axes), or along a line (one)."""
        on_grid = coordinates.shape[-1] == self.axes
        rates = self.rates if on_grid else self.rates_along_a_line
        angles = rearrange(coordinates.float()[..., None] * rates, "rows n A f -> rows n (A f)")
        shares = self.axes if on_grid or self.pairing != "crossed" else 1
        angles = rearrange(angles, "rows n (a f) -> rows n a f", a=shares)
        if self.pairing == "interleaved":
            angles = repeat(angles, "rows n a f -> rows 1 n (a f two)", two=2)
        else:
            angles = repeat(angles, "rows n a f -> rows 1 n (a two f)", two=2)
        return Rotation(angles.cos(), angles.sin(), self.pairing, self.axes)


def _rates(share: int, base: float) -> Float[Tensor, " f"]:
    return 1.0 / base ** (torch.arange(0, share, 2).float() / share)


def _partner(x: Float[Tensor, "B h n d"], pairing: Pairing, axes: int) -> Float[Tensor, "B h n d"]:
    """The other entry of each pair, with its sign: (a, b) gives (-b, a)."""
    if pairing == "crossed" or (pairing == "axis" and axes == 1):
        a, b = x.chunk(2, -1)
        return torch.cat([-b, a], -1)
    if pairing == "interleaved":
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)  # plain views, because this runs twice per block and step
        return torch.stack([-b, a], -1).flatten(-2)
    a, b = x.unflatten(-1, (axes, 2, -1)).unbind(-2)
    return torch.stack([-b, a], -2).flatten(-3)
