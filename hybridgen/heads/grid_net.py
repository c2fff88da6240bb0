"""The network of the grid heads: a transformer over the whole grid of a step, in one, two or three dimensions.

Without a backbone it is the whole generator. The hidden vectors are added at their positions, and their mean, with the
time, modulates every block; or their mean alone is the condition, as it is, and they are added nowhere.

Sources: DiT (arXiv:2212.09748), section 3.2, for patches, blocks and sine-cosine positions; FlowAR
(arXiv:2412.15205), section 3.3, for hidden vectors given position by position.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.objectives import Objective
from hybridgen.nn.adaln import Modulation, TimeEmbedding, modulate
from hybridgen.nn.block import Block
from hybridgen.nn.positions import from_patches, to_patches
from hybridgen.system.errors import UserError
from hybridgen.types import Grid, TokenSpec


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a grid and its hidden vectors enter the network. Cards: registry/layout/.

    Args:
        patch: side of the patches that are one position of the transformer; it must divide the grid.
        places: sines and cosines of each position: "computed" for any grid, or "kept" with the weights, frozen, for the
            finest grid alone.
        condition_input: "embedded": hidden vectors through a linear layer, at each position and in the mean; "plain":
            their mean as it is, which takes hidden vectors of the network's own width.
    """

    patch: Annotated[int, Ge(1)] = 1
    places: Literal["computed", "kept"] = "computed"
    condition_input: Literal["embedded", "plain"] = "embedded"


class GridNet(nn.Module):
    """Prediction for all positions of a grid together, at one time per row.

    Args:
        tokens: what the tokenizer offers; gives C and the finest grid, which is that of kept positions.
        objective: gives the channels of the prediction, and the time that is seen.
        width: D of the hidden vectors; where condition_input is plain, E.
        head_width: E, width of the stream.
        depth: number of blocks.
        heads: number of attention heads; must divide `head_width`.
        mlp_ratio: width inside a block's MLP, in units of `head_width`.
        layout: patches, positions, and how the hidden vectors enter.
    """

    def __init__(
        self, tokens: TokenSpec, objective: Objective, width: int, head_width: int, depth: int, heads: int,
        mlp_ratio: float, layout: Layout,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layout, self.grid, volume = layout, tokens.grid, layout.patch ** len(tokens.grid)
        if layout.condition_input == "plain" and width != head_width:
            raise UserError(
                f"condition_input: hidden vectors of width {width} are no condition of width {head_width} as they are"
            )
        self.embed_x = nn.Linear(tokens.channels * volume, head_width)
        self.embed_t = TimeEmbedding(head_width, time_input=objective.time_input)
        self.embed_hidden = nn.Linear(width, head_width) if layout.condition_input == "embedded" else None
        self.embed_mean = nn.Linear(width, head_width) if layout.condition_input == "embedded" else None
        self.blocks = nn.ModuleList(Block(head_width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(head_width, eps=1e-6, elementwise_affine=False)
        self.modulation = Modulation(head_width, head_width, 2)
        self.out = nn.Linear(head_width, objective.outputs(tokens.channels) * volume)
        nn.init.zeros_(self.out.weight)  # predicts 0 at first, so the first loss is known
        nn.init.zeros_(self.out.bias)
        self.places: nn.Parameter | None = None
        if layout.places == "kept":
            kept = axis_positions(self._patches(tokens.grid), head_width)
            self.places = nn.Parameter(kept, requires_grad=False)  # published models count it as a parameter

    def forward(
        self, x: Float[Tensor, "rows n C"], t: Float[Tensor, "rows m"], hidden: Float[Tensor, "rows k D"], grid: Grid
    ) -> Float[Tensor, "rows n O"]:
        """`hidden` has one vector per position, or one per row (k = 1). The first column of `t` is read."""
        patches = self._patches(grid)
        stream = self.embed_x(to_patches(x, grid, self.layout.patch))
        context = self.embed_t(t[:, 0])
        if self.embed_hidden is None or self.embed_mean is None:
            context = context + hidden.mean(1)
        else:
            context = context + self.embed_mean(hidden.mean(1))
            stream = stream + self.embed_hidden(self._per_patch(hidden, grid))
        stream = stream + self._positions(patches).to(x)
        for block in self.blocks:
            stream = block(stream, context)
        shift, scale = self.modulation(context[:, None])
        return from_patches(self.out(modulate(self.norm(stream), shift, scale)), grid, self.layout.patch)

    def _positions(self, patches: Grid) -> Float[Tensor, "n E"]:
        if self.places is None:
            return grid_positions(patches, self.norm.normalized_shape[0])
        if patches != self._patches(self.grid):
            raise UserError(f"places: positions are kept for the grid {self.grid} alone; use 'computed'")
        return self.places

    def _patches(self, grid: Grid) -> Grid:
        if any(side % self.layout.patch for side in grid):
            raise UserError(f"patch: {self.layout.patch} does not tile the grid {grid}")
        return tuple(side // self.layout.patch for side in grid)

    def _per_patch(self, hidden: Float[Tensor, "rows k D"], grid: Grid) -> Float[Tensor, "rows m D"]:
        """The mean over each patch, where there is one vector per position."""
        if hidden.shape[1] == 1 or self.layout.patch == 1:
            return hidden
        return to_patches(hidden, grid, self.layout.patch).unflatten(-1, (-1, hidden.shape[-1])).mean(-2)


def grid_positions(grid: Grid, width: int) -> Float[Tensor, "n E"]:
    """Sines and cosines of each coordinate, row-major; the axes share the width, and what is left over is 0."""
    half = width // (2 * len(grid))
    rates = torch.exp(-math.log(10000.0) * torch.arange(half) / max(half, 1))
    axes = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    angles = torch.cat([rearrange(axis, "... -> (...) 1") * rates for axis in axes], -1)
    waves = torch.cat([angles.sin(), angles.cos()], -1)
    return nn.functional.pad(waves, (0, width - waves.shape[-1]))


def axis_positions(grid: Grid, width: int) -> Float[Tensor, "n E"]:
    """The same waves in the order of published tables: the last axis first, of each its sines, then its cosines."""
    waves, half = grid_positions(grid, width), width // (2 * len(grid))
    used = rearrange(waves[:, : 2 * half * len(grid)], "n (two axes h) -> n axes two h", two=2, axes=len(grid))
    ordered = rearrange(used.flip(1), "n axes two h -> n (axes two h)")
    return nn.functional.pad(ordered, (0, width - ordered.shape[-1]))
