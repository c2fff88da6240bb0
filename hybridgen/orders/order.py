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

from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import take
from hybridgen.orders.base import Order, PlannedStep
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Grid, Step, StepLayout, TokenSpec


class SetOrder(Order):
    """Visits scales coarse to fine, and each in patches.

    Args:
        tokens: what the tokenizer offers.
        visits: all scales, or the last one alone (everything at once, when there is no patch).
        patch: sides of a patch; empty: the whole scale.
        drop: the lowest share of the last scale's positions that training leaves out; the share is drawn from a normal
            distribution of mean 1 and standard deviation 0.25 cut to [drop, 1] (HART, arXiv:2410.10812); 0 leaves none
            out.
        keep_at_least: positions that are never left out.
        due: of the last scale in training: all positions; or a share drawn from a normal distribution of mean 1 and
            standard deviation 0.25 cut to [due_at_least, 1] (MAR, arXiv:2406.11838); or cos(pi u / 2), u uniform
            (MaskGIT, arXiv:2202.04200). The others are known to a backbone that sees both ways.
        due_at_least: the lowest share.
    """

    def __init__(
        self,
        tokens: TokenSpec,
        *,
        visits: Literal["all", "last"] = "all",
        patch: tuple[Annotated[int, Ge(1)], ...] = (),
        drop: Annotated[float, Ge(0), Lt(1)] = 0.0,
        keep_at_least: Annotated[int, Ge(1)] = 32,
        due: Literal["all", "normal", "cosine"] = "all",
        due_at_least: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        last = len(tokens.scales) - 1
        self.scales = tuple(range(last + 1)) if visits == "all" else (last,)
        self.last, self.drop, self.keep_at_least = last, drop, keep_at_least
        self.groups = [group for s in self.scales for group in _groups(s, tokens.scales[s], patch)]
        self.due, self.due_at_least = due, due_at_least
        if (drop or due != "all") and patch:
            raise UserError(
                f"{'drop' if drop else 'due'}: a share of a whole scale is drawn, not of patches; set patch to []"
            )
        if drop and due != "all":
            raise UserError("drop: leaves positions out of what is due, so all must be due; set due=all")

    def training(self, batch: int, rng: Draws) -> StepLayout:
        """Every group once; of the last scale only the positions that `drop` leaves, or those of `due`."""
        columns, sizes, scales, grids = [], [], [], []
        for s, index, grid in self.groups:
            positions = index.expand(batch, -1)
            if (self.drop or self.due != "all") and s == self.last:
                kept, whole = self._kept(len(index), rng.shared()), len(index)
                if kept < whole or self.drop:
                    positions, grid = take(positions, rng.uniform(batch, whole).argsort(1)[:, :kept]), (kept,)
            columns.append(positions)
            sizes.append(positions.shape[1])
            scales.append(s)
            grids.append(grid)
        return StepLayout(torch.cat(columns, 1), tuple(sizes), tuple(scales), tuple(grids))

    def plan(self, sets: int) -> list[PlannedStep]:
        """Set sizes fall as a cosine, each at least one (MaskGIT, arXiv:2202.04200)."""
        steps = []
        for g, (s, index, _) in enumerate(self.groups):
            done = 0
            for count in _set_sizes(len(index), sets if s == self.last else 1):
                steps.append(PlannedStep(g, done, count, min(sets, len(index)) if s == self.last else 1))
                done += count
        return steps

    def step(self, planned: PlannedStep, shuffle: Float[Tensor, "B n"], canvas: Canvas, by_confidence: bool) -> Step:
        """Positions of the step; irregular sets have the grid `(n,)`."""
        s, index, grid = self.groups[planned.group]
        index = index.to(canvas.latent.device)
        if planned.of == 1:
            return Step(s, index.expand(canvas.latent.shape[0], -1), grid)
        if by_confidence:
            unknown = canvas.known[s][:, index].int().argsort(dim=1, stable=True)[:, : len(index) - planned.done]
            return Step(s, index[unknown], (len(index) - planned.done,), keep=planned.count)
        chosen = shuffle[:, index].argsort(1)[:, planned.done : planned.done + planned.count]
        return Step(s, index[chosen], (planned.count,))

    def _kept(self, n: int, u: float) -> int:
        """How many of n positions are due, given u in [0, 1)."""
        if self.drop:
            return min(n, max(self.keep_at_least, ceil(n * (1 - _cut_normal(u, self.drop)))))
        share = _cut_normal(u, self.due_at_least) if self.due == "normal" else max(self.due_at_least, cos(pi / 2 * u))
        return min(n, max(1, ceil(n * share)))


def _cut_normal(u: float, low: float) -> float:
    """The normal distribution of mean 1 and deviation 0.25, cut to [low, 1], by its inverse CDF."""
    normal = torch.distributions.Normal(1.0, 0.25)
    least, most = (normal.cdf(torch.tensor(edge)) for edge in (low, 1.0))
    return normal.icdf(least + u * (most - least)).item()


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
