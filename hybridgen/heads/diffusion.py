"""Diffusion head: denoises the residual of each token on a table of 1000 noise levels.

Each token on its own, given the backbone's hidden vector of its position; a small AdaLN MLP.

Sources: HART (arXiv:2410.10812) for the task; MAR (arXiv:2406.11838), "Diffusion Loss", for the network; improved DDPM
(arXiv:2102.09672) for the cosine table and the learned variance; v-prediction (arXiv:2202.00512), appendix D.
Differs from HART and MAR: v by default, for noise prediction on the cosine table diverges unless clipped; measured
deviation instead of the constant 0.6.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.objectives import Denoising
from hybridgen.diffusion.path import table
from hybridgen.diffusion.solvers import Solver
from hybridgen.heads import denoise
from hybridgen.heads.base import ResidualHead
from hybridgen.heads.token_net import TokenNet
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid, TokenSpec


class DiffusionHead(ResidualHead):
    """Predicts noise, v or r at x_t = alpha r + sigma noise, where r = (target - mean) / std; and a variance.

    Args:
        tokens: what the tokenizer offers; gives C.
        width: D, width of the hidden vectors.
        mlp_width: E, width of the stream inside the head.
        inner: width inside a block's MLP, in units of `mlp_width`.
        depth: number of AdaLN blocks.
        schedule: the table of noise levels.
        prediction: "eps": the noise; "v": alpha noise - sigma r; "x0": r itself.
        learned_variance: also learns the variance of a reverse step, which DDPM then draws with.
        clip: clips the clean value to this many deviations when drawing; 0 never clips; None takes 5 for "eps" on the
            cosine table, where a draw would else diverge, and never clips otherwise.
        likelihood: of the learned variance at the lowest level: of the density, or of 256 bins of [-1, 1], as
            published heads are trained.
        normalise: the target by its measured mean and deviation, not at all, or by a constant.
        constant: the deviation taken for "constant" (0.6 in HART's release).
    """

    guided_channels = 0  # all
    mean: Tensor  # (C,) of the target, measured once by `fit`, then kept
    std: Tensor  # (C,)

    def __init__(  # noqa: PLR0913 - options of a card
        self, tokens: TokenSpec, width: int, *, mlp_width: Annotated[int, Ge(1)] = 128,
        inner: Annotated[float, Gt(0)] = 2.0, depth: Annotated[int, Ge(1)] = 3,
        schedule: Literal["cosine", "linear"] = "cosine", prediction: Literal["eps", "v", "x0"] = "v",
        learned_variance: bool = True, clip: Annotated[float, Ge(0)] | None = None,
        likelihood: Literal["density", "bins"] = "density",
        normalise: Literal["measured", "none", "constant"] = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels, self.normalise = tokens.channels, normalise
        self.objective = Denoising(
            path=table(schedule), prediction=prediction, learned_variance=learned_variance, clip=clip,
            likelihood=likelihood,
        )  # fmt: skip
        self.net = TokenNet(self.channels, self.objective.outputs(self.channels), width, mlp_width, inner, depth)
        mean, std = denoise.first_scale(self.channels, normalise, constant)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def loss(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid, rng: Draws
    ) -> Float[Tensor, "B n"]:
        """`loss_at` a time and normal noise a token."""
        return denoise.loss(self, target, hidden, grid, rng)

    def loss_at(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid,
        t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """Squared error of the prediction and the bound of the variance, mean over C; the caller averages."""
        return denoise.loss_at(self, target, hidden, grid, t, noise)

    def draw(
        self, hidden: Float[Tensor, "rows k D"], grid: Grid, noise: Float[Tensor, "B m n C"],
        solver: Solver, steps: int, guidance: float = 1.0, temperature: float = 1.0,
    ) -> Float[Tensor, "B n C"]:  # fmt: skip
        """Residuals drawn from `noise`. When guided, `hidden` holds conditional, then null rows."""
        return denoise.draw(self, hidden, grid, noise, solver, steps, guidance, temperature)

    def noise_shape(self, n: int, solver: Solver, steps: int) -> tuple[int, int, int]:
        """(1 + m, n, C)."""
        return denoise.noise_shape(self.channels, n, solver, steps)

    def evaluations(self, solver: Solver, steps: int) -> int | None:
        """Those of the solver on this head's path."""
        return solver.evaluations(self.objective.path, steps)

    def fit(self, targets: Float[Tensor, "M C"]) -> None:
        """Measures mean and deviation a channel, if the head is to."""
        denoise.fit(self, targets, self.normalise)
