"""The contract of objectives: what a network predicts, how it is trained to, and how its prediction is read.

An objective works on r, a residual normalised to mean 0 and standard deviation 1, whichever network predicts.
"""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.path import Path
from hybridgen.diffusion.solvers import Estimate
from hybridgen.nn.adaln import TimeInput
from hybridgen.nn.draws import Draws


class Objective(ABC):
    """What a denoising network predicts. Cards: registry/objective/."""

    time_input: TimeInput = "entry"  # the time that the network sees

    @property
    @abstractmethod
    def path(self) -> Path:
        """The path from r to noise."""

    @abstractmethod
    def outputs(self, channels: int) -> int:
        """How many numbers the network predicts for each vector of `channels`."""

    @abstractmethod
    def draw_times(self, rows: int, n: int, rng: Draws, joint: bool) -> Float[Tensor, "B n"]:
        """Training times: one per position; one per row where they are drawn jointly."""

    @abstractmethod
    def corrupt(
        self, r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"]
    ) -> Float[Tensor, "B n C"]:
        """x_t = alpha r + sigma noise."""

    @abstractmethod
    def loss(
        self, prediction: Float[Tensor, "B n O"], r: Float[Tensor, "B n C"], t: Float[Tensor, "B n"],
        noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """The loss per position, mean over C, in float32."""

    @abstractmethod
    def read(self, prediction: Float[Tensor, "B n O"], x: Float[Tensor, "B n C"], t: Float[Tensor, "B n"]) -> Estimate:
        """The estimate of clean value and noise that a prediction for x_t means."""
