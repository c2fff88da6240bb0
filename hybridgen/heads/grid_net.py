"""The network of the grid heads: a transformer over the whole grid of a step, in one, two or three dimensions.

Without a backbone it is the whole generator. The hidden vectors enter where they belong, and their mean, with the
time, modulates every block.

Sources: DiT (arXiv:2212.09748), section 3.2, for the blocks and the sine-cosine positions; FlowAR
(arXiv:2412.15205), section 3.3, for hidden vectors given position by position.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.adaln import Modulation, TimeEmbedding, modulate
from hybridgen.nn.block import Block
from hybridgen.types import Grid


class GridNet(nn.Module):
    """Prediction for all positions of a grid together, at one time a row.

    Args:
        channels: C of x_t.
        outputs: channels of the prediction.
        width: D of the hidden vectors.
        head_width: E, width of the stream.
        depth: number of blocks.
        heads: of the attention; must divide `head_width`.
    """

    def __init__(self, channels: int, outputs: int, width: int, head_width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed_x = nn.Linear(channels, head_width)
        self.embed_t = TimeEmbedding(head_width)
        self.embed_hidden = nn.Linear(width, head_width)
        self.embed_mean = nn.Linear(width, head_width)
        self.blocks = nn.ModuleList(Block(head_width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(head_width, eps=1e-6, elementwise_affine=False)
        self.modulation = Modulation(head_width, head_width, 2)
        self.out = nn.Linear(head_width, outputs)
        nn.init.zeros_(self.out.weight)  # predicts 0 at first, so that the first loss is a number to check
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x: Float[Tensor, "rows n C"], t: Float[Tensor, "rows m"], hidden: Float[Tensor, "rows k D"], grid: Grid
    ) -> Float[Tensor, "rows n O"]:
        """`hidden` has one vector a position, or one a row (k = 1). Of `t` the first column is read."""
        context = self.embed_t(t[:, 0]) + self.embed_mean(hidden.mean(1))
        stream = self.embed_x(x) + self.embed_hidden(hidden) + grid_positions(grid, self.out.in_features).to(x)
        for block in self.blocks:
            stream = block(stream, context)
        shift, scale = self.modulation(context[:, None])
        return self.out(modulate(self.norm(stream), shift, scale))


def grid_positions(grid: Grid, width: int) -> Float[Tensor, "n E"]:
    """Sines and cosines of each coordinate, row-major; the width is shared among the axes, what is left over is 0."""
    half = width // (2 * len(grid))
    rates = torch.exp(-math.log(10000.0) * torch.arange(half) / max(half, 1))
    axes = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    angles = torch.cat([rearrange(axis, "... -> (...) 1") * rates for axis in axes], -1)
    waves = torch.cat([angles.sin(), angles.cos()], -1)
    return nn.functional.pad(waves, (0, width - waves.shape[-1]))
