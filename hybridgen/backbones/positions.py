"""How a backbone knows where a position is: vectors added to its inputs, and rotations of queries and keys."""

from dataclasses import dataclass
from typing import Literal

from hybridgen.backbones.position_embedding import LevelKind, PlaceKind
from hybridgen.backbones.rotary_positions import Coordinates, PrefixRotary, RotaryPositions
from hybridgen.nn.rotary import Pairing
from hybridgen.types import TokenSpec


@dataclass(frozen=True, kw_only=True)
class Positions:
    """How positions and scales enter a causal backbone. Cards: registry/positions/.

    Args:
        places: positions as learned tables (one per scale), or as sines and cosines of coordinates that all scales
            share, which allows other schedules of scales.
        levels: the scale as a learned table, or as a network of its resolution, which also allows other schedules, or
            of its index.
        rotary: queries and keys are rotated by their positions, in pairs within each axis' share of a head (its halves,
            or neighbours), or in pairs across the shares.
        rotates: the position that rotates an input: that of the vector it draws, or that of the vector it reads.
        coordinates: coordinates of a position: scaled to the finest grid, or its index on its own grid.
        rotary_shift: coordinates begin after the last position of the prefix.
        prefix_rotary: the prefix is rotated by its positions, or left as it is, or set to zero.
    """

    places: PlaceKind = "table"
    levels: LevelKind = "table"
    rotary: Literal["none"] | Pairing = "none"
    rotates: Literal["drawn", "read"] = "drawn"
    coordinates: Coordinates = "scaled"
    rotary_shift: bool = False
    prefix_rotary: PrefixRotary = "rotate"

    def rotations(self, tokens: TokenSpec, width: int) -> RotaryPositions | None:
        """The rotations of heads of this width; None without any."""
        if self.rotary == "none":
            return None
        return RotaryPositions(tokens, width, self.rotary, self.coordinates, self.rotary_shift, self.prefix_rotary)
