"""The network of the per-token heads: an AdaLN MLP on each vector by itself.

Source: MAR (arXiv:2406.11838), "Diffusion Loss" and its appendix; the same layers as its released head.
"""

from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.objectives import Objective
from hybridgen.nn.adaln import AdaLNBlock, Modulation, TimeEmbedding, modulate
from hybridgen.types import Grid


class TokenNet(nn.Module):
    """Prediction for each position from its own x_t, t and hidden vector, and from nothing else.

    Args:
        channels: C of x_t.
        objective: gives the channels of the prediction, and the time that is seen.
        width: D of the hidden vectors.
        mlp_width: E, width of the stream.
        inner: width inside a block's MLP, in units of `mlp_width`.
        depth: number of blocks.
    """

    def __init__(
        self, channels: int, objective: Objective, width: int, mlp_width: int, inner: float, depth: int
    ) -> None:
        super().__init__()
        self.embed_x = nn.Linear(channels, mlp_width)
        self.embed_t = TimeEmbedding(mlp_width, time_input=objective.time_input)
        self.embed_hidden = nn.Linear(width, mlp_width)
        self.blocks = nn.ModuleList(AdaLNBlock(mlp_width, round(inner * mlp_width)) for _ in range(depth))
        self.norm = nn.LayerNorm(mlp_width, eps=1e-6, elementwise_affine=False)
        self.modulation = Modulation(mlp_width, mlp_width, 2)
        self.out = nn.Linear(mlp_width, objective.outputs(channels))
        nn.init.zeros_(self.out.weight)  # predicts 0 at first, so the first loss is known
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x: Float[Tensor, "rows n C"], t: Float[Tensor, "rows m"], hidden: Float[Tensor, "rows k D"], grid: Grid
    ) -> Float[Tensor, "rows n O"]:
        """`t` and `hidden` have one entry per position, or one per row. `grid` does not matter."""
        context = self.embed_t(t) + self.embed_hidden(hidden)
        stream = self.embed_x(x)
        for block in self.blocks:
            stream = block(stream, context)
        return self.out(modulate(self.norm(stream), *self.modulation(context)))
