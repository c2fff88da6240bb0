"""What a network is asked to predict, how it is trained to, and how its answer is read.

Each objective works on r, a residual normalised to mean 0 and deviation 1, whatever network predicts.

Sources: flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0; times from a logit-normal distribution, SD3
(arXiv:2403.03206), section 3.1; DDPM (arXiv:2006.11239), eq. 14; v-prediction (arXiv:2202.00512), appendix D;
improved DDPM (arXiv:2102.09672), eq. 15-16, for the learned variance; SiT (arXiv:2401.08740), section 2, for other
paths, predictions and weights of a flow.
Differs from improved DDPM: at the lowest noise level the likelihood is by default that of the density, not of 256 bins,
for latents have none.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import COSINE, ENTRIES, LINEAR, Curve, Table, forward_rate, reverse
from hybridgen.diffusion.solvers import Estimate
from hybridgen.nn.draws import Draws
from hybridgen.system.errors import UserError

SAFE_CLIP = 5.0
"""Deviations at which the clean value is clipped for noise prediction on the cosine table. There the first step of a
draw multiplies an error of the predicted noise by thousands; heads clipped at 4 drew well, unclipped ones diverged."""

Likelihood = Literal["density", "bins"]

_NOTHING = 1e-6  # rounding's zero, of a share of the data
_FAINT = 1e-3  # what is left of the data at the noisiest entry: 5e-5 on the cosine table, 6e-3 on linear betas


@dataclass(frozen=True, kw_only=True)
class FlowMatching:
    """Predicts the velocity of a curved path or the straight line (noise - r there), or what it can be read from.

    Args:
        times: distribution of the training times: uniform, or the logistic function of a standard normal.
        path: from r to noise.
        prediction: "velocity": dx/dt; "eps": the noise; "score": -noise / sigma.
        weight: of the squared error of "eps" (of "score", times sigma): "none"; "velocity": (w / sigma)^2, as if the
            velocity were predicted; "likelihood": w / sigma^2, with w the forward equation's rate of noise.
        toward: "noise": the velocity is dx/dt; "data": its negative, the derivative by 1 - t.
        span: the training times lie between these, where what is predicted is finite.
        unread: the network also predicts as many numbers that nothing reads.
    """

    times: Literal["uniform", "logit_normal"] = "uniform"
    path: Curve = LINEAR
    prediction: Literal["velocity", "eps", "score"] = "velocity"
    weight: Literal["none", "velocity", "likelihood"] = "none"
    toward: Literal["noise", "data"] = "noise"
    span: tuple[float, float] = (0.0, 1.0)
    unread: bool = False

    def outputs(self, channels: int) -> int:
        """Numbers a network predicts for each vector of `channels`."""
        return 2 * channels if self.unread else channels

    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """A time a position; one a row where they are drawn jointly."""
        shape, (first, last) = (rows, 1 if joint else n), self.span
        t = rng.uniform(*shape) if self.times == "uniform" else rng.normal(*shape).sigmoid()
        return (first + (last - first) * t if self.span != (0.0, 1.0) else t).expand(rows, n)

    def corrupt(
        self, r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"]
    ) -> Float[Tensor, "B n C"]:
        """x_t = alpha r + sigma noise."""
        return self.path.mix(r, noise, t[..., None])

    def loss(
        self, prediction: Float[Tensor, "B n O"], r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"],
        noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """Squared error of what is predicted, weighed, mean over C, in float32."""
        predicted = prediction.float()[..., : r.shape[-1]]
        if self.prediction == "velocity":
            predicted = -predicted if self.toward == "data" else predicted
            return (predicted - self.path.velocity(r, noise, t[..., None])).square().mean(-1)
        if self.prediction == "score":
            predicted = -self.path.sigma(t)[..., None] * predicted
        return self._weight(t) * (predicted - noise).square().mean(-1)

    def read(self, prediction: Float[Tensor, "B n O"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """Clean value and noise of the x_t that this was predicted for.

        Raises:
            UserError: the prediction does not say, because alpha is 0.
        """
        predicted, time = prediction[..., : x.shape[-1]].to(x), t[..., None]
        if self.prediction == "velocity":
            return *self.path.split(x, -predicted if self.toward == "data" else predicted, time), None
        alpha, sigma = self.path.alpha(time), self.path.sigma(time)
        if (alpha < _NOTHING).any():
            raise UserError(
                f"prediction: '{self.prediction}' says nothing of the clean value where there is only noise, at t = 1\n"
                "  set start of the solver below 1, to 0.999"
            )
        noise = -sigma * predicted if self.prediction == "score" else predicted
        return (x - sigma * noise) / alpha, noise, None

    def _weight(self, t: Float[Tensor, "B n"]) -> Tensor | float:
        if self.weight == "none":
            return 1.0
        rate, sigma = forward_rate(self.path, t), self.path.sigma(t)
        return (rate / sigma) ** 2 if self.weight == "velocity" else rate / sigma**2


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
        likelihood: of the bound at the lowest level: that of the density, or of 256 bins of [-1, 1].
    """

    path: Table = COSINE
    prediction: Literal["eps", "v", "x0"] = "v"
    learned_variance: bool = False
    clip: Annotated[float, Ge(0)] | None = None
    likelihood: Likelihood = "density"

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
        if self.likelihood == "bins":
            likelihood = bin_cost(r, r + weight * (clean - r), 0.5 * log_variance)
        else:
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


def bin_cost(
    x: Float[Tensor, "*rows C"], mean: Float[Tensor, "*rows C"], log_deviation: Float[Tensor, "*rows C"]
) -> Float[Tensor, "*rows C"]:
    """Nats for the one of 256 bins of [-1, 1] that x lies in, under a normal distribution; the outer ones are open.

    As published pixel models are trained (DDPM, arXiv:2006.11239, eq. 13), with the tanh approximation of the normal
    distribution function (Page, 1977).
    """

    def below(end: Tensor) -> Tensor:
        z = (end - mean) * torch.exp(-log_deviation)
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

    up, down = below(x + 1 / 255), below(x - 1 / 255)
    share = torch.where(x < -0.999, up, torch.where(x > 0.999, 1 - down, up - down))
    return -share.clamp(min=1e-12).log()
