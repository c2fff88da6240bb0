"""Rotations of queries and keys by their positions on the grid, and by those of a prefix before it.

Sources: HART (arXiv:2410.10812), section 3.2: the coordinates of all scales in the finest one's frame, after those of
the text; LlamaGen (arXiv:2406.06525) for one scale, whose released code sets the prefix' queries and keys to zero.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.nn.positions import repeat_rows
from hybridgen.nn.rotary import Pairing, Rotary, Rotation
from hybridgen.types import Condition, Grid, StepLayout, TokenSpec

Coordinates = Literal["scaled", "index"]
PrefixRotary = Literal["rotate", "identity", "zero"]


class RotaryPositions(nn.Module):
    """Rotations of the positions of a scale, and of a prefix.

    Args:
        tokens: what the tokenizer offers.
        width: d of a head.
        pairing: see `nn/rotary.py`.
        coordinates: coordinates of a position: its index on its own grid, or that index scaled to the finest grid.
        shift: coordinates begin after the last position of the prefix.
        prefix: its tokens are rotated by their positions (those of the condition, or 0, 1, ...) | left as they are |
            set to zero.
    """

    def __init__(
        self,
        tokens: TokenSpec,
        width: int,
        pairing: Pairing,
        coordinates: Coordinates,
        shift: bool,
        prefix: PrefixRotary,
    ) -> None:
        super().__init__()
        self.shift, self.kind = shift, prefix
        self.rotary = Rotary(width, len(tokens.grid), pairing)
        for s, grid in enumerate(tokens.scales):
            frame = tokens.grid if coordinates == "scaled" else None
            self.register_buffer(f"scale{s}", _coordinates(grid, frame), persistent=False)

    def at(self, where: Sequence[tuple[int, Int[Tensor, "B _"]]], condition: Condition, prefix: int) -> Rotation:
        """Rotation of positions of scales, one scale after the other, after a prefix of so many tokens."""
        cells = [self.get_buffer(f"scale{s}")[positions] for s, positions in where]
        coordinates = repeat_rows(torch.cat(cells, 1), condition.rows)  # (rows, n, A)
        if self.shift and prefix:
            coordinates = coordinates + self._count(condition, prefix)[:, -1:]
        return self.rotary(coordinates)

    def along(self, due: StepLayout, condition: Condition, prefix: int, skip: int, read: bool) -> Rotation:
        """Rotation of a prefix of so many tokens and of all steps, without the first `skip` positions.

        An input is rotated by the position that it draws, or, if `read`, by the position that it reads.
        """
        parts = [self.prefix(condition, prefix)] if prefix else []
        if read:
            cuts = [(due.scales[0], slice(0, -due.sizes[0]))]
            parts += [] if skip else [self.still(due.sizes[0])]
        else:
            cuts = [(s, slice(max(cut.start, skip), cut.stop)) for s, cut in due.spans()]
        parts.append(self.at([(s, due.positions[:, cut]) for s, cut in cuts], condition, prefix))
        return reduce(Rotation.then, parts)

    def still(self, n: int) -> Rotation:
        """Rotation of n positions that leaves them as they are."""
        return self.rotary(self.rotary.rates.new_zeros(1, n, self.rotary.axes))

    def prefix(self, condition: Condition, prefix: int) -> Rotation:
        """Rotation of a prefix of so many tokens."""
        if self.kind == "rotate":
            return self.rotary(self._count(condition, prefix))
        still = self.still(prefix)
        return still if self.kind == "identity" else still.zero()

    def _count(self, condition: Condition, prefix: int) -> Float[Tensor, "#rows P 1"]:
        """Positions of the prefix' tokens: the condition's own, counted on for what follows its tokens."""
        if condition.positions is None or condition.positions.shape[1] > prefix:
            count = torch.arange(prefix, device=self.rotary.rates.device)
            return rearrange(count.float(), "P -> 1 P 1")
        own = condition.positions.float()
        more = torch.arange(1, 1 + prefix - own.shape[1], device=own.device)
        return torch.cat([own, own[:, -1:] + rearrange(more, "P -> 1 P 1")], 1)


def _coordinates(grid: Grid, frame: Grid | None) -> Float[Tensor, "N A"]:
    """Indices of each cell of `grid`, in units of the cells of `frame` if there is one, row-major."""
    axes = [torch.arange(side).float() for side in grid]
    if frame is not None:
        axes = [axis / side * full for axis, side, full in zip(axes, grid, frame, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
