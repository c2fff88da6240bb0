"""The contracts of the heads: from hidden vectors to codes, and to the residual that codes leave."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.diffusion.path import LINEAR
from hybridgen.diffusion.solvers import Solver
from hybridgen.nn.draws import Draws
from hybridgen.types import Condition, Grid


class CodeHead(nn.Module, ABC):
    """A distribution over codes, for each position by itself, given its hidden vector."""

    uniforms: int  # uniform numbers that the draw of one position takes

    @abstractmethod
    def logits(self, hidden: Float[Tensor, "rows n D"], condition: Condition) -> Float[Tensor, "rows n V"]:
        """Unnormalised log-probabilities; `condition` has the same rows."""

    @abstractmethod
    def loss(self, logits: Float[Tensor, "B n V"], codes: Int[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Cross-entropy per position, in nats."""

    @abstractmethod
    def log_prob(self, logits: Float[Tensor, "B n V"], codes: Int[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Log-probability of each code, in nats."""

    @abstractmethod
    def filtered(
        self, logits: Float[Tensor, "B n V"], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Float[Tensor, "B n V"]:
        """Logits of the codes that `draw` may give, -inf elsewhere; mixtures are made of them too."""

    @abstractmethod
    def draw(
        self, logits: Float[Tensor, "B n V"], uniform: Float[Tensor, "B n u"],
        temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
    ) -> Int[Tensor, "B n"]:  # fmt: skip
        """Codes by inverse CDF in vocabulary order, in float64; temperature 0 is the mode; 0 and 1.0 filter nothing."""


class ResidualHead(nn.Module, ABC):
    """A distribution over residual vectors. Steps, solver and guidance are arguments: one trained head serves all."""

    joint: bool = False  # True: needs the whole grid of the step at once

    @abstractmethod
    def fit(self, targets: Float[Tensor, "M C"]) -> None:
        """Measures the targets' mean and standard deviation per channel, once, before training."""

    @abstractmethod
    def noise_shape(self, n: int, solver: Solver, steps: int) -> tuple[int, int, int]:
        """(1 + m, n, C): the start, and the noise that a stochastic solver adds; (0, n, C) if nothing is drawn."""

    def evaluations(self, solver: Solver, steps: int) -> int | None:
        """How often one draw evaluates the network; None where the solver decides that as it goes.

        This is the number on the straight line; a head with a path of its own, or without steps, overrides it.
        """
        return solver.evaluations(LINEAR, steps)

    @abstractmethod
    def loss(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B n D"], grid: Grid, rng: Draws
    ) -> Float[Tensor, "B n"]:
        """`loss_at` times and noise drawn from `rng`."""

    @abstractmethod
    def loss_at(
        self, target: Float[Tensor, "B n C"], hidden: Float[Tensor, "B n D"], grid: Grid,
        t: Float[Tensor, "B n"], noise: Float[Tensor, "B n C"],
    ) -> Float[Tensor, "B n"]:  # fmt: skip
        """The loss per position at noise level t in [0, 1] (0 = data), mean over C. `hidden` may be (B, 1, D)."""

    @abstractmethod
    def draw(
        self, hidden: Float[Tensor, "rows k D"], grid: Grid, noise: Float[Tensor, "B m n C"],
        solver: Solver, steps: int, guidance: float = 1.0, temperature: float = 1.0,
    ) -> Float[Tensor, "B n C"]:  # fmt: skip
        """Residuals drawn from `noise`. If guidance is not 1, `hidden` holds conditional rows, then null rows."""
