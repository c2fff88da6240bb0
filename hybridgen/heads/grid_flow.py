"""Grid flow head: moves noise to the residuals of a whole grid together, along a line or a curve.

A transformer over the step's grid, given the backbone's hidden vectors; without a backbone, the whole generator.

Sources: FlowAR (arXiv:2412.15205), section 3.3, for a flow over each scale; SiT (arXiv:2401.08740) for the same without
a backbone, and section 2 for curves; flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0, for the loss on
the line.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.curves import named
from hybridgen.diffusion.objectives import FlowMatching
from hybridgen.diffusion.solvers import Solver
from hybridgen.heads import denoise
from hybridgen.heads.base import ResidualHead
from hybridgen.heads.grid_net import GridNet, Layout
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid, TokenSpec


class GridFlowHead(ResidualHead):
    """Predicts the velocity at x_t = alpha r + sigma noise, where r = (target - mean) / std; on the line, noise - r.

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
        time_input: the time that the network sees: 1000 t - 1 ("entry"); or 1 - t ("data"), by which its velocity is
            taken, too.
        curve: from r to noise: the line, a quarter of a circle, or a variance-preserving diffusion.
        prediction: "velocity": dx/dt; "eps": the noise; "score": -noise / sigma. The last two are finite inside the
            line and the circle alone: see `span`, and `start` and `stop` of a solver.
        weight: of the squared error of "eps" and "score": none, that of the velocity, or of the likelihood.
        times: distribution of the training times: uniform, or the logistic function of a standard normal.
        span: they lie between these.
        unread: the network also predicts as many channels that nothing reads, as checkpoints shared with a diffusion
            of learned variance have.
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
        time_input: Literal["entry", "data"] = "entry", curve: Literal["line", "circle", "vp"] = "line",
        prediction: Literal["velocity", "eps", "score"] = "velocity",
        weight: Literal["none", "velocity", "likelihood"] = "none",
        times: Literal["uniform", "logit_normal"] = "logit_normal", span: tuple[float, float] = (0.0, 1.0),
        unread: bool = False,
        normalise: Literal["measured", "none", "constant"] = "measured", constant: Annotated[float, Gt(0)] = 0.6,
    ) -> None:  # fmt: skip
        super().__init__()
        self.channels, self.normalise, self.guided_channels = tokens.channels, normalise, guided_channels
        self.objective = FlowMatching(
            times=times, path=named(curve), prediction=prediction, weight=weight, span=span, unread=unread,
            toward="data" if time_input == "data" else "noise",
        )  # fmt: skip
        layout = Layout(
            grid=tokens.grid,
            mlp_ratio=mlp_ratio,
            patch=patch,
            places=places,
            condition_input=condition_input,
            time_input=time_input,
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
        """Squared velocity error a position, mean over C; the caller weighs and averages."""
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
