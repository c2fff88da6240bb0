"""Regression head: the mean of each token's residual, and nothing of its spread.

The baseline of the denoising heads: by squared error a head can learn where residuals lie on average, so it draws the
blur between them, whatever the noise, the solver, the steps and the temperature.

Sources: the conditional mean minimises the expected squared error (Bishop, Pattern Recognition and Machine Learning,
section 1.5.5); MAR (arXiv:2406.11838), section 3.1, for why a token needs a distribution instead.
"""

from typing import Annotated

from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.solvers import Solver
from hybridgen.heads.base import ResidualHead
from hybridgen.heads.denoise import guide
from hybridgen.heads.normalise import Normalise, first_scale, measure
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid, TokenSpec


class RegressionHead(ResidualHead):
    """Predicts r = (target - mean) / std from the hidden vector alone.

    Args:
        tokens: what the tokenizer offers; gives C.
        width: D, width of the hidden vectors.
        mlp_width: E, width of the stream inside the head.
        inner: width inside a block's MLP, in units of `mlp_width`.
        depth: number of residual MLP blocks.
        normalise: the target by its measured mean and standard deviation, not at all, or by a constant.
        constant: the standard deviation taken for "constant".
    """

    mean: Tensor  # (C,) of the target, measured once by `fit`, then kept
    std: Tensor  # (C,)

    def __init__(
        self, tokens: TokenSpec, width: int, *, mlp_width: Annotated[int, Ge(1)] = 128,
        inner: Annotated[float, Gt(0)] = 2.0, depth: Annotated[int, Ge(1)] = 3,
        normalise: Normalise = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels, self.normalise = tokens.channels, normalise
        self.net = MeanNet(width, mlp_width, round(inner * mlp_width), depth, tokens.channels)
        mean, std = first_scale(self.channels, normalise, constant)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def loss(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid, rng: Draws
    ) -> Float[Tensor, "B n"]:
        """Squared error per token; nothing is drawn from `rng`."""
        return self._error(target, hidden)

    def loss_at(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid,
        t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """The same; `t` and `noise` have no effect."""
        return self._error(target, hidden)

    def draw(
        self, hidden: Float[Tensor, "rows k D"], grid: Grid, noise: Float[Tensor, "B m n C"],
        solver: Solver, steps: int, guidance: float = 1.0, temperature: float = 1.0,
    ) -> Float[Tensor, "B n C"]:  # fmt: skip
        """The mean, in one evaluation, guided as in a denoiser; `noise` gives the numbers of rows and tokens."""
        rows, n = noise.shape[0], noise.shape[2]
        r = self.net(hidden[:rows]).float() if guidance == 1.0 else self._guided(hidden, guidance)
        return self.mean + self.std * r.expand(rows, n, self.channels)

    def noise_shape(self, n: int, solver: Solver, steps: int) -> tuple[int, int, int]:
        """(0, n, C): it takes no noise."""
        return 0, n, self.channels

    def evaluations(self, solver: Solver, steps: int) -> int:
        """One, whatever the solver."""
        return 1

    def fit(self, targets: Float[Tensor, "M C"]) -> None:
        """Measures mean and standard deviation per channel, if `normalise` says so."""
        measure(self, targets, self.normalise)

    def _error(self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"]) -> Float[Tensor, "B n"]:
        r = (target.float() - self.mean) / self.std
        return (self.net(hidden).float() - r).square().mean(-1)

    def _guided(self, hidden: Float[Tensor, "rows k D"], guidance: float) -> Float[Tensor, "B k C"]:
        return guide(self.net(hidden), guidance, self.channels)


class MeanNet(nn.Module):
    """Residual MLP blocks on each hidden vector by itself.

    Args:
        width: D of the hidden vectors.
        mlp_width: E, width of the stream.
        inner: width inside a block.
        depth: number of blocks.
        outputs: numbers that are predicted.
    """

    def __init__(self, width: int, mlp_width: int, inner: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Linear(width, mlp_width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(mlp_width, eps=1e-6), nn.Linear(mlp_width, inner), nn.SiLU(), nn.Linear(inner, mlp_width)
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(mlp_width, eps=1e-6)
        self.out = nn.Linear(mlp_width, outputs)
        nn.init.zeros_(self.out.weight)  # predicts the measured mean at first
        nn.init.zeros_(self.out.bias)

    def forward(self, hidden: Float[Tensor, "rows k D"]) -> Float[Tensor, "rows k O"]:
        """One prediction per hidden vector."""
        stream = self.embed(hidden)
        for block in self.blocks:
            stream = stream + block(stream)
        return self.out(self.norm(stream))
