"""Flow matching: the velocity of a path, or a quantity that it can be read from.

Sources: flow matching (arXiv:2210.02747), eq. 20-23 with sigma_min = 0; times from a logit-normal distribution, SD3
(arXiv:2403.03206), section 3.1; SiT (arXiv:2401.08740), section 2, for other paths, predictions and weights.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.curves import CurveName, named
from hybridgen.diffusion.objectives import Objective
from hybridgen.diffusion.path import Curve, forward_rate
from hybridgen.diffusion.solvers import Estimate
from hybridgen.nn.adaln import TimeInput
from hybridgen.nn.draws import Draws
from hybridgen.system.errors import UserError

_NOTHING = 1e-6  # below this a share of the data counts as 0


@dataclass(frozen=True, kw_only=True)
class FlowMatching(Objective):
    """Predicts the velocity of a path (on the line noise - r), or a quantity that gives it.

    Args:
        times: distribution of the training times: uniform, or the logistic function of a standard normal variable.
        curve: the path from r to noise: the line, a quarter of a circle, or a variance-preserving diffusion.
        prediction: what is predicted: "velocity": dx/dt; "eps": the noise; "score": -noise / sigma. The last two are
            finite inside the line and the circle alone: see `span`, and `start` and `stop` of a solver.
        weight: weight of the squared error of "eps" (of "score" times sigma): "none"; "velocity": (w / sigma)^2, as if
            the velocity were predicted; "likelihood": w / sigma^2, with w the forward equation's rate of noise.
        time_input: the time that the network sees, and by which its velocity is the derivative: "entry": t, seen as
            1000 t - 1; "data": 1 - t.
        span: the training times lie between these two, where what is predicted is finite.
        unread: the network also predicts as many numbers that nothing reads, as checkpoints shared with a diffusion of
            learned variance have.
    """

    times: Literal["uniform", "logit_normal"] = "logit_normal"
    curve: CurveName = "line"
    prediction: Literal["velocity", "eps", "score"] = "velocity"
    weight: Literal["none", "velocity", "likelihood"] = "none"
    time_input: TimeInput = "entry"
    span: tuple[float, float] = (0.0, 1.0)
    unread: bool = False

    @property
    def path(self) -> Curve:
        """The path that `curve` names."""
        return named(self.curve)

    def outputs(self, channels: int) -> int:
        """Twice `channels` where half of it is unread."""
        return 2 * channels if self.unread else channels

    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """One time per position; one per row where they are drawn jointly."""
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
        """Squared error of the prediction, weighted, mean over C, in float32."""
        predicted = prediction.float()[..., : r.shape[-1]]
        if self.prediction == "velocity":
            predicted = -predicted if self.time_input == "data" else predicted
            return (predicted - self.path.velocity(r, noise, t[..., None])).square().mean(-1)
        if self.prediction == "score":
            predicted = -self.path.sigma(t)[..., None] * predicted
        return self._weight(t) * (predicted - noise).square().mean(-1)

    def read(self, prediction: Float[Tensor, "B n O"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """Clean value and noise of the x_t that this was predicted for.

        Raises:
            UserError: alpha is 0, so the prediction does not determine the clean value.
        """
        predicted, time = prediction[..., : x.shape[-1]].to(x), t[..., None]
        if self.prediction == "velocity":
            return *self.path.split(x, -predicted if self.time_input == "data" else predicted, time), None
        alpha, sigma = self.path.alpha(time), self.path.sigma(time)
        if (alpha < _NOTHING).any():
            raise UserError(
                f"prediction: '{self.prediction}' leaves the clean value open where there is only noise, at t = 1\n"
                "  set start of the solver below 1, to 0.999"
            )
        noise = -sigma * predicted if self.prediction == "score" else predicted
        return (x - sigma * noise) / alpha, noise, None

    def _weight(self, t: Float[Tensor, "B n"]) -> Tensor | float:
        if self.weight == "none":
            return 1.0
        rate, sigma = forward_rate(self.path, t), self.path.sigma(t)
        return (rate / sigma) ** 2 if self.weight == "velocity" else rate / sigma**2
