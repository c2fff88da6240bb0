"""What the denoising heads share: the normaliser, the loss and the draw, for any network and any objective.

The target of a head is normalised to mean 0 and deviation 1 a channel: a residual of deviation 0.1 left as it is
loses half of its amplitude in a draw of 8 steps.

Sources: MAR (arXiv:2406.11838), "Diffusion Loss", for a denoiser given a hidden vector; classifier-free guidance
(arXiv:2207.12598), eq. 6, as null + w (conditional - null).
"""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.objectives import Denoising, FlowMatching
from hybridgen.diffusion.solvers import Estimate, Solver
from hybridgen.nn.draws import Draws
from hybridgen.types import Grid

Normalise = Literal["measured", "none", "constant"]

_FLAT = 1e-6  # a channel that varies less than this is left unscaled


@runtime_checkable
class Scaled(Protocol):
    """A head with a normaliser."""

    mean: Tensor  # (C,)
    std: Tensor  # (C,)


@runtime_checkable
class Denoiser(Scaled, Protocol):
    """What these functions need of a head that denoises."""

    @property
    def joint(self) -> bool:
        """Whether one time serves a whole row."""

    @property
    def guided_channels(self) -> int:
        """How many of the first channels are guided; 0: all."""

    @property
    def objective(self) -> FlowMatching | Denoising:
        """What the network predicts."""

    @property
    def net(self) -> Callable[[Tensor, Tensor, Tensor, Grid], Tensor]:
        """(rows, n, C or 2C) from x (rows, n, C), t (rows, n or 1), hidden (rows, n or 1, D) and the grid."""


def first_scale(channels: int, normalise: Normalise, constant: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation a channel, before anything is measured."""
    return torch.zeros(channels), torch.full((channels,), constant if normalise == "constant" else 1.0)


def fit(head: Scaled, targets: Float[Tensor, "M C"], normalise: Normalise) -> None:
    """Measures mean and deviation a channel where they are to be measured."""
    if normalise == "measured":
        deviation, mean = torch.std_mean(targets.float(), 0, correction=0)
        head.mean.copy_(mean)
        head.std.copy_(torch.where(deviation > _FLAT, deviation, torch.ones_like(deviation)))


def loss(
    head: Denoiser, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid, rng: Draws
) -> Float[Tensor, "B n"]:
    """`loss_at` a time a position (a row, for a joint head) and normal noise."""
    rows, n, channels = target.shape
    t = head.objective.draw_times(rows, n, rng, head.joint).to(target.device)
    return loss_at(head, target, hidden, grid, t, rng.normal(rows, n, channels).to(target.device))


def loss_at(
    head: Denoiser, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B k D"], grid: Grid,
    t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"],
) -> Float[Tensor, "B n"]:  # fmt: skip
    """The objective's loss on the normalised target; what is not the network is in float32."""
    r = (target.float() - head.mean) / head.std
    prediction = head.net(head.objective.corrupt(r, t, noise), t, hidden, grid)
    return head.objective.loss(prediction, r, t, noise)


def noise_shape(channels: int, n: int, solver: Solver, steps: int) -> tuple[int, int, int]:
    """(1 + m, n, C): the start, and what the solver draws on its way."""
    return 1 + solver.draws(steps), n, channels


def draw(
    head: Denoiser, hidden: Float[Tensor, "rows k D"], grid: Grid, noise: Float[Tensor, "B m n C"], solver: Solver,
    steps: int, guidance: float, temperature: float,
) -> Float[Tensor, "B n C"]:  # fmt: skip
    """A draw, in the target's own units.

    Guided, both halves of `hidden` see the same x_t; the learned variance is the conditional half's. Guidance 1 takes
    the conditional rows alone, so that it equals no guidance to the bit and costs no second row.
    """
    rows = noise.shape[0]

    def predict(x: Tensor, t: Tensor) -> Estimate:
        if guidance == 1.0:
            return head.objective.read(head.net(x, t[:, :1], hidden[:rows], grid), x, t)
        both = head.net(x.repeat(2, 1, 1), t[:, :1].repeat(2, 1), hidden, grid)
        return head.objective.read(guide(both, guidance, head.guided_channels or x.shape[-1]), x, t)

    return head.mean + head.std * solver.solve(predict, head.objective.path, noise, steps, temperature)


def guide(both: Float[Tensor, "rows n O"], guidance: float, channels: int) -> Float[Tensor, "B n O"]:
    """null + guidance (conditional - null) on the first `channels`, in float32; the rest from the conditional half."""
    conditional, null = both.float().chunk(2)
    given, absent = conditional[..., :channels], null[..., :channels]
    return torch.cat([absent + guidance * (given - absent), conditional[..., channels:]], -1)
