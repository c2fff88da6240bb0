"""Denoising on a table of noise levels: the noise, v or the clean value, and perhaps the variance of a reverse step.

Sources: DDPM (arXiv:2006.11239), eq. 14; v-prediction (arXiv:2202.00512), appendix D; improved DDPM
(arXiv:2102.09672), eq. 15-16, for the learned variance.
Differs from improved DDPM: at the lowest noise level the likelihood is by default that of the density, not that of 256
bins, because latents have no bins.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.objectives import Objective
from hybridgen.diffusion.path import ENTRIES, Schedule, Table, reverse, table
from hybridgen.diffusion.solvers import Estimate
from hybridgen.nn.draws import Draws

SAFE_CLIP = 5.0
"""Standard deviations at which the clean value is clipped for noise prediction on the cosine table. There the first
step of a draw multiplies an error of the predicted noise by thousands; heads clipped at 4 drew well, unclipped ones
diverged."""

_FAINT = 1e-3  # the data's share at the noisiest entry is 5e-5 on the cosine table and 6e-3 on linear betas


@dataclass(frozen=True, kw_only=True)
class Denoising(Objective):
    """Predicts noise, v or the clean value on a table of noise levels, and perhaps the variance of a reverse step.

    Args:
        schedule: the table of noise levels.
        prediction: what is predicted: "eps": the noise; "v": alpha noise - sigma r; "x0": r itself.
        learned_variance: the network also predicts where the variance of a reverse step, with which DDPM then draws,
            lies between beta tilde and beta; trained by the variational bound (in bits, mean over C, added with
            weight 1 and no gradient to the mean, as in MAR).
        clip: the clean value is clipped to this many standard deviations in a draw; 0 never clips; null takes 5 for
            "eps" on the cosine table, where a draw would diverge without it, and never clips elsewhere.
        likelihood: of the bound at the lowest level: that of the density, or that of 256 bins of [-1, 1], as published
            heads are trained.
    """

    schedule: Schedule = "cosine"
    prediction: Literal["eps", "v", "x0"] = "v"
    learned_variance: bool = True
    clip: Annotated[float, Ge(0)] | None = None
    likelihood: Literal["density", "bins"] = "density"

    @property
    def path(self) -> Table:
        """The table that `schedule` names."""
        return table(self.schedule)

    def outputs(self, channels: int) -> int:
        """Twice `channels` where the variance is learned."""
        return 2 * channels if self.learned_variance else channels

    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """One entry of the table per position, all equally likely; one per row where they are drawn jointly."""
        entry = (rng.uniform(rows, 1 if joint else n) * ENTRIES).floor().clamp(max=ENTRIES - 1)
        return ((entry + 1) / ENTRIES).expand(rows, n)

    def corrupt(
        self, r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"]
    ) -> Float[Tensor, "B n C"]:
        """x_t = alpha r + sigma noise."""
        alpha, sigma = self._shares(t)
        return alpha * r + sigma * noise

    def loss(
        self, prediction: Float[Tensor, "B n O"], r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"],
        noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """Squared error of the prediction, plus the bound where the variance is learned; mean over C, in float32."""
        alpha, sigma = self._shares(t)
        target = {"eps": noise, "v": alpha * noise - sigma * r, "x0": r}[self.prediction]
        predicted = prediction.float()[..., : r.shape[-1]]
        error = (predicted - target).square().mean(-1)
        return error + self.bound(prediction.float(), r, t, noise) if self.learned_variance else error

    def bound(
        self, prediction: Float[Tensor, "B n O"], r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"],
        noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """The variational bound of one step in bits, mean over C; its gradient reaches the variance alone."""
        predicted, fraction = prediction.detach()[..., : r.shape[-1]], 0.5 * (prediction[..., r.shape[-1] :] + 1)
        clean = self._clean(predicted, self.corrupt(r, t, noise), t)
        weight, log_small, log_large = self._step(t)
        log_variance = fraction * log_large + (1 - fraction) * log_small
        gap = (weight * (clean - r)).square()  # squared distance of the two means
        divergence = 0.5 * (log_variance - log_small - 1 + (log_small.exp() + gap) * torch.exp(-log_variance))
        if self.likelihood == "bins":
            likelihood = bin_cost(r, r + weight * (clean - r), 0.5 * log_variance)
        else:
            likelihood = 0.5 * (math.log(2 * math.pi) + log_variance + gap * torch.exp(-log_variance))
        lowest = (t * ENTRIES).round()[..., None] == 1
        return torch.where(lowest, likelihood, divergence).mean(-1) / math.log(2)

    def read(self, prediction: Float[Tensor, "B n O"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """Clean value (clipped), the noise that belongs to it, and the share of the log-variance."""
        channels = x.shape[-1]
        predicted = prediction[..., :channels].to(x)
        fraction = 0.5 * (prediction[..., channels:].to(x) + 1) if self.learned_variance else None
        alpha, sigma = self._shares(t)
        clean, limit = self._clean(predicted, x, t), self._limit
        if limit:
            clean = clean.clamp(-limit, limit)
        elif self.prediction == "eps":
            return clean, predicted, fraction
        elif self.prediction == "v":
            return clean, sigma * x + alpha * predicted, fraction
        return clean, (x - alpha * clean) / sigma, fraction

    @property
    def _limit(self) -> float:
        if self.clip is None:
            return SAFE_CLIP if self.prediction == "eps" and self.path.alpha(1.0) < _FAINT else 0.0
        return self.clip

    def _clean(self, predicted: Tensor, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self._shares(t)
        if self.prediction == "eps":
            return (x - sigma * predicted) / alpha
        return alpha * x - sigma * predicted if self.prediction == "v" else predicted

    def _shares(self, t: Float[Tensor, "B n"]) -> tuple[Tensor, Tensor]:
        """alpha and sigma, (B, n, 1)."""
        return self.path.alpha(t)[..., None], self.path.sigma(t)[..., None]

    def _step(self, t: Float[Tensor, "B n"]) -> tuple[Tensor, Tensor, Tensor]:
        """Weight of the clean value in the mean of a reverse step, log beta tilde and log beta, (B, n, 1).

        In float64, for beta is a small difference. Onto t = 0 beta tilde is 0, and the one above it is taken instead.
        """
        lowest, one = t.double().clamp(min=2 / ENTRIES), 1 / ENTRIES
        step, floor = reverse(self.path, t.double(), t.double() - one), reverse(self.path, lowest, lowest - one)
        columns = torch.stack([step.from_clean, floor.small.log(), step.large.log()]).float()[..., None]
        return columns[0], columns[1], columns[2]


def bin_cost(
    x: Float[Tensor, "*rows C"], mean: Float[Tensor, "*rows C"], log_deviation: Float[Tensor, "*rows C"]
) -> Float[Tensor, "*rows C"]:
    """Nats of the one of 256 bins of [-1, 1] that holds x, under a normal distribution; the outer bins are open.

    As published pixel models are trained (DDPM, arXiv:2006.11239, eq. 13), with the tanh approximation of the normal
    distribution function (Page, 1977).
    """

    def below(end: Tensor) -> Tensor:
        z = (end - mean) * torch.exp(-log_deviation)
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    up, down = below(x + 1 / 255), below(x - 1 / 255)
    share = torch.where(x < -0.999, up, torch.where(x > 0.999, 1 - down, up - down))
    return -share.clamp(min=1e-12).log()
