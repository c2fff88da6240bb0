"""Grid diffusion head: denoises the residuals of a whole grid together on a table of 1000 noise levels.

A transformer over the step's grid, given the backbone's hidden vectors; without a backbone, the whole generator.

Sources: DiT (arXiv:2212.09748) for the network; improved DDPM (arXiv:2102.09672) for the cosine table and the learned
variance; v-prediction (arXiv:2202.00512), appendix D.
Differs from DiT: v and the cosine table by default.
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
from hybridgen.heads.grid_net import GridNet, Layout
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid, TokenSpec


class GridDiffusionHead(ResidualHead):
    """Predicts noise, v or r at x_t = alpha r + sigma noise, where r = (target - mean) / std; and a variance.

    Args:
        tokens: what the tokenizer offers; gives C.
        width: D, width of the hidden vectors.
        head_width: E, width of the transformer; `heads` must divide it.
        depth: number of transformer blocks.
        heads: of the attention.
        mlp_ratio: width inside a block's MLP, in units of `head_width`.
        patch: side of the patches that are one position of the transformer; it must divide the grid.
        places: sines and cosines of each position: computed for whatever grid, or kept with the weights, frozen, for
            the finest grid alone.
        condition_input: embedded: hidden vectors through a linear layer, at each position and in the mean; plain: their
            mean as it is, which takes hidden vectors of `head_width`.
        guided_channels: guidance acts on so many of the first channels, and the rest are the conditional half's;
            0: on all.
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

    joint = True
    mean: Tensor  # (C,) of the target, measured once by `fit`, then kept
    std: Tensor  # (C,)

    def __init__(  # noqa: PLR0913 - options of a card
        self, tokens: TokenSpec, width: int, *, head_width: Annotated[int, Ge(1)] = 128,
        depth: Annotated[int, Ge(1)] = 4, heads: Annotated[int, Ge(1)] = 4,
        mlp_ratio: Annotated[float, Gt(0)] = 4.0, patch: Annotated[int, Ge(1)] = 1,
        places: Literal["computed", "kept"] = "computed", condition_input: Literal["embedded", "plain"] = "embedded",
        guided_channels: Annotated[int, Ge(0)] = 0,
        schedule: Literal["cosine", "linear"] = "cosine", prediction: Literal["eps", "v", "x0"] = "v",
        learned_variance: bool = True, clip: Annotated[float, Ge(0)] | None = None,
        likelihood: Literal["density", "bins"] = "density",
        normalise: Literal["measured", "none", "constant"] = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels, self.normalise, self.guided_channels = tokens.channels, normalise, guided_channels
        self.objective = Denoising(
            path=table(schedule), prediction=prediction, learned_variance=learned_variance, clip=clip,
            likelihood=likelihood,
        )  # fmt: skip
        layout = Layout(
            grid=tokens.grid, mlp_ratio=mlp_ratio, patch=patch, places=places, condition_input=condition_input
        )
        outputs = self.objective.outputs(self.channels)
        self.net = GridNet(self.channels, outputs, width, head_width, depth, heads, layout)
        mean, std = denoise.first_scale(self.channels, normalise, constant)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def loss(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid, rng: Draws
    ) -> Float[Tensor, "B n"]:
        """`loss_at` a time a row and normal noise."""
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
