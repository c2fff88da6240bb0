"""What a network is asked to predict, how it is trained to, and how its answer is read.

Each objective works on r, a residual normalised to mean 0 and deviation 1, whatever network predicts.

Sources: flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0; times from a logit-normal law, SD3
(arXiv:2403.03206), section 3.1; DDPM (arXiv:2006.11239), eq. 14; v-prediction (arXiv:2202.00512), appendix D;
improved DDPM (arXiv:2102.09672), eq. 15-16, for the learned variance.
Differs from improved DDPM: at the lowest noise level the likelihood is that of the density, not of 256 bins, for
latents have none.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import COSINE, ENTRIES, LINEAR, Path, Table, reverse
from hybridgen.diffusion.solvers import Estimate
from hybridgen.nn.draws import Draws

SAFE_CLIP = 5.0
"""Deviations at which the clean value is clipped for noise prediction on the cosine table. There the first step of a
draw multiplies an error of the predicted noise by thousands; heads clipped at 4 drew well, unclipped ones diverged."""

_FAINT = 1e-3  # what is left of the data at the noisiest entry: 5e-5 on the cosine table, 6e-3 on linear betas


@dataclass(frozen=True, kw_only=True)
class FlowMatching:
    """Predicts the velocity noise - r on the straight line.

    Args:
        times: law of the training times: uniform, or the logistic function of a standard normal.
    """

    times: Literal["uniform", "logit_normal"] = "uniform"

    @property
    def path(self) -> Path:
        """The straight line."""
        return LINEAR

    def outputs(self, channels: int) -> int:
        """Numbers a network predicts for each vector of `channels`."""
        return channels

    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """A time a position; one a row where they are drawn jointly."""
        shape = (rows, 1 if joint else n)
        t = rng.uniform(*shape) if self.times == "uniform" else rng.normal(*shape).sigmoid()
        return t.expand(rows, n)

    def corrupt(
        self, r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"]
    ) -> Float[Tensor, "B n C"]:
        """x_t = (1 - t) r + t noise."""
        return torch.lerp(r, noise, t[..., None])

    def loss(
        self, prediction: Float[Tensor, "B n C"], r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"],
        noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """Squared error of the velocity, mean over C, in float32."""
        return (prediction.float() - (noise - r)).square().mean(-1)

    def read(self, prediction: Float[Tensor, "B n C"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """Clean value and noise on the line through x with this velocity."""
        velocity = prediction.to(x)
        return x - t[..., None] * velocity, x + (1 - t[..., None]) * velocity, None


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """Predicts noise, v or the clean value on a table, and perhaps the variance of a reverse step.

    Args:
        path: the table.
        prediction: "eps": the noise; "v": alpha noise - sigma r; "x0": r.
        learned_variance: also predicts where the variance lies between beta tilde and beta, trained by the
            variational bound (in bits, mean over C, added with weight 1 and no gradient to the mean, as in MAR).
        clip: the clean value is clipped to this many deviations when drawing; 0 never clips; None takes 5 for "eps"
            on the cosine table and never clips otherwise.
    """

    path: Table = COSINE
    prediction: Literal["eps", "v", "x0"] = "v"
    learned_variance: bool = False
    clip: Annotated[float, Ge(0)] | None = None

    def outputs(self, channels: int) -> int:
        """Numbers a network predicts for each vector of `channels`."""
        return 2 * channels if self.learned_variance else channels

    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """An entry of the table a position, each as likely; one a row where they are drawn jointly."""
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
        """Squared error of what is predicted, plus the bound where the variance is learned; mean over C, in float32."""
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
        likelihood = 0.5 * (math.log(2 * math.pi) + log_variance + gap * torch.exp(-log_variance))
        lowest = (t * ENTRIES).round()[..., None] == 1
        return torch.where(lowest, likelihood, divergence).mean(-1) / math.log(2)

    def read(self, prediction: Float[Tensor, "B n O"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """Clean value (clipped), the noise that goes with it, and the share of the log-variance."""
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

        In float64, for beta is a small difference. Onto t = 0 beta tilde is 0; the one above stands in for it.
        """
        lowest, one = t.double().clamp(min=2 / ENTRIES), 1 / ENTRIES
        step, floor = reverse(self.path, t.double(), t.double() - one), reverse(self.path, lowest, lowest - one)
        columns = torch.stack([step.from_clean, floor.small.log(), step.large.log()]).float()[..., None]
        return columns[0], columns[1], columns[2]
