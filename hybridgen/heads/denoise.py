"""The contract of heads that denoise: the normaliser, the loss and the draw, for any network and any objective.

A head that derives from it gives a network and an objective, and nothing else.

Sources: MAR (arXiv:2406.11838), "Diffusion Loss", for a denoiser given a hidden vector; classifier-free guidance
(arXiv:2207.12598), eq. 6, as null + w (conditional - null).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.objectives import Objective
from hybridgen.diffusion.solvers import Estimate, Solver
from hybridgen.heads.base import ResidualHead
from hybridgen.heads.normalise import Normalise, first_scale, measure
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid


class DenoisingHead(ResidualHead):
    """Draws r = (target - mean) / std by denoising. A head sets `net`, and `joint` if one time serves a whole row.

    Args:
        channels: C of the target.
        objective: what the network predicts, and how it is trained to.
        normalise: the target by its measured mean and standard deviation, not at all, or by a constant.
        constant: the standard deviation taken for "constant".
        guided_channels: guidance acts on so many of the first channels; 0: on all.
    """

    net: nn.Module  # (rows, n, O) from x (rows, n, C), t (rows, n or 1), hidden (rows, n or 1, D) and the grid
    mean: Tensor  # (C,) of the target, measured once by `fit`, then kept
    std: Tensor  # (C,)

    def __init__(
        self, channels: int, objective: Objective, normalise: Normalise, constant: float, guided_channels: int = 0
    ) -> None:
        super().__init__()
        self.channels, self.objective, self.normalise = channels, objective, normalise
        self.guided_channels = guided_channels or channels
        mean, std = first_scale(channels, normalise, constant)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def loss(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid, rng: Draws
    ) -> Float[Tensor, "B n"]:
        """`loss_at` one time per position (per row, for a joint head) and normal noise."""
        rows, n, channels = target.shape
        t = self.objective.draw_times(rows, n, rng, self.joint).to(target.device)
        return self.loss_at(target, hidden, grid, t, rng.normal(rows, n, channels).to(target.device))

    def loss_at(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid,
        t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """The objective's loss on the normalised target; all but the network is computed in float32."""
        r = (target.float() - self.mean) / self.std
        prediction = self.net(self.objective.corrupt(r, t, noise), t, hidden, grid)
        return self.objective.loss(prediction, r, t, noise)

    def draw(
        self, hidden: Float[Tensor, "rows k D"], grid: Grid, noise: Float[Tensor, "B m n C"],
        solver: Solver, steps: int, guidance: float = 1.0, temperature: float = 1.0,
    ) -> Float[Tensor, "B n C"]:  # fmt: skip
        """A draw in the target's own units.

        When guided, both halves of `hidden` see the same x_t, and the learned variance is that of the conditional half.
        Guidance 1 takes the conditional rows alone, so it equals no guidance to the bit and costs no second row.
        """
        rows = noise.shape[0]

        def predict(x: Tensor, t: Tensor) -> Estimate:
            if guidance == 1.0:
                return self.objective.read(self.net(x, t[:, :1], hidden[:rows], grid), x, t)
            both = self.net(x.repeat(2, 1, 1), t[:, :1].repeat(2, 1), hidden, grid)
            return self.objective.read(guide(both, guidance, self.guided_channels), x, t)

        return self.mean + self.std * solver.solve(predict, self.objective.path, noise, steps, temperature)

    def noise_shape(self, n: int, solver: Solver, steps: int) -> tuple[int, int, int]:
        """(1 + m, n, C): the start, and what the solver draws on its way."""
        return 1 + solver.draws(steps), n, self.channels

    def evaluations(self, solver: Solver, steps: int) -> int | None:
        """Those of the solver on this head's path."""
        return solver.evaluations(self.objective.path, steps)

    def fit(self, targets: Float[Tensor, "M C"]) -> None:
        """Measures mean and standard deviation per channel, if `normalise` says so."""
        measure(self, targets, self.normalise)


def guide(both: Float[Tensor, "rows n O"], guidance: float, channels: int) -> Float[Tensor, "B n O"]:
    """null + guidance (conditional - null) on the first `channels`, in float32; the rest from the conditional half."""
    conditional, null = both.float().chunk(2)
    given, absent = conditional[..., :channels], null[..., :channels]
    return torch.cat([absent + guidance * (given - absent), conditional[..., channels:]], -1)
