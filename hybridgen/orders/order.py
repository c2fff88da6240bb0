"""One order for all systems: scales x patches x sets.

A scale is drawn at once (next-scale prediction), or patch by patch in raster order (a patch of one position:
next-token prediction), and the last scale's patches in one or several sets (masked prediction).
"""

from math import ceil, cos, floor, pi, prod
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float, Int
from torch import Tensor

from hybridgen.errors import UserError
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import take
from hybridgen.orders.base import Order, Turn
from hybridgen.types import Canvas, Due, Grid, Step, TokenSpec


class SetOrder(Order):
    """Visits scales coarse to fine, and each in patches.

    Args:
        tokens: what the tokenizer offers.
        visits: all scales, or the last one alone (everything at once, when there is no patch).
        patch: sides of a patch; empty: the whole scale.
        drop: the lowest share of the last scale's positions that training leaves out; the share is drawn from a normal
            law of mean 1 and deviation 0.25 cut to [drop, 1] (HART, arXiv:2410.10812); 0 leaves none out.
        keep_at_least: positions that are never left out.
    """

    def __init__(
        self,
        tokens: TokenSpec,
        *,
        visits: Literal["all", "last"] = "all",
        patch: tuple[int, ...] = (),
        drop: Annotated[float, Ge(0), Lt(1)] = 0.0,
        keep_at_least: Annotated[int, Ge(1)] = 32,
    ) -> None:
        last = len(tokens.scales) - 1
        self.scales = tuple(range(last + 1)) if visits == "all" else (last,)
        self.last, self.drop, self.keep_at_least = last, drop, keep_at_least
        self.groups = [group for s in self.scales for group in _groups(s, tokens.scales[s], patch)]
        if drop and patch:
            raise UserError("drop: positions are left out of a whole scale, not of patches; set patch to []")

    def training(self, batch: int, rng: Draws) -> Due:
        """Every group once; of the last scale only the positions that `drop` leaves."""
        columns, sizes, scales, grids = [], [], [], []
        for s, index, grid in self.groups:
            positions = index.expand(batch, -1)
            if self.drop and s == self.last:
                kept = self._kept(len(index), rng.shared())
                positions, grid = take(positions, rng.uniform(batch, len(index)).argsort(1)[:, :kept]), (kept,)
            columns.append(positions)
            sizes.append(positions.shape[1])
            scales.append(s)
            grids.append(grid)
        return Due(torch.cat(columns, 1), tuple(sizes), tuple(scales), tuple(grids))

    def plan(self, sets: int) -> list[Turn]:
        """Set sizes fall as a cosine, each at least one (MaskGIT, arXiv:2202.04200)."""
        turns = []
        for g, (s, index, _) in enumerate(self.groups):
            done = 0
            for count in _set_sizes(len(index), sets if s == self.last else 1):
                turns.append(Turn(g, done, count, min(sets, len(index)) if s == self.last else 1))
                done += count
        return turns

    def step(self, turn: Turn, shuffle: Float[Tensor, "B n"], canvas: Canvas, by_confidence: bool) -> Step:
        """Positions of the turn; irregular sets have the grid `(n,)`."""
        s, index, grid = self.groups[turn.group]
        index = index.to(canvas.latent.device)
        if turn.of == 1:
            return Step(s, index.expand(canvas.latent.shape[0], -1), grid)
        if by_confidence:
            unknown = canvas.known[s][:, index].int().argsort(dim=1, stable=True)[:, : len(index) - turn.done]
            return Step(s, index[unknown], (len(index) - turn.done,), keep=turn.count)
        chosen = shuffle[:, index].argsort(1)[:, turn.done : turn.done + turn.count]
        return Step(s, index[chosen], (turn.count,))

    def _kept(self, n: int, u: float) -> int:
        """How many of n positions are kept, by inverse CDF of the cut normal law at u in [0, 1)."""
        normal = torch.distributions.Normal(1.0, 0.25)
        low = normal.cdf(torch.tensor(self.drop))
        left_out = normal.icdf(low + u * (normal.cdf(torch.tensor(1.0)) - low)).item()
        return min(n, max(self.keep_at_least, ceil(n * (1 - left_out))))


def _groups(s: int, grid: Grid, patch: Grid) -> list[tuple[int, Int[Tensor, " n"], Grid]]:
    """(scale, positions, shape) of each patch of a scale, in raster order."""
    patch = patch or grid
    if len(patch) != len(grid) or any(a % b for a, b in zip(grid, patch, strict=True)):
        raise UserError(f"patch: {patch} does not tile the scale {grid}")
    index = torch.arange(prod(grid)).view(grid)
    for axis, side in enumerate(patch):
        index = index.unfold(axis, side, side)
    return [(s, row, patch) for row in index.reshape(-1, prod(patch))]


def _set_sizes(n: int, sets: int) -> list[int]:
    sets = min(sets, n)
    left = [floor(n * cos(pi / 2 * (k + 1) / sets)) for k in range(sets - 1)] + [0]
    sizes, done = [], 0
    for k in range(sets):
        later = sets - 1 - k  # each later set takes at least one
        size = min(max(1, n - done - left[k]), n - done - later)
        sizes.append(size)
        done += size
    return sizes
