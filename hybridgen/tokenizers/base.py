"""The contract of a tokenizer: data to latent and codes, and the canvas that a generator paints."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.adversary import Adversary
from hybridgen.types import Canvas, Step, Tokens, TokenSpec

AT_ONCE = 100  # samples that are encoded together where many are, which bounds the memory


@dataclass
class Reconstruction:
    """One training pass: the data that the decoder gave, with gradient and not clamped, and what `loss` says of them.

    `last` is the weight of the decoder's last layer: an adversary is balanced against the losses there.
    """

    data: Float[Tensor, "B X *size"]
    losses: dict[str, Tensor]
    last: nn.Parameter


class Tokenizer(nn.Module, ABC):
    """Latent and codes of data. Latents have mean 0 and standard deviation 1, by constants that the tokenizer keeps.

    Painting scale s adds vectors to the canvas: the codebook's of its codes, plus the residual where one is drawn.
    """

    spec: TokenSpec
    fixed_units: bool = False  # latents keep a given scale instead: `measure` changes nothing
    adversary: Adversary | None = None  # that it is to be trained against; one that has it gives `reconstruct`
    supports_residual: bool = True  # painting what is owed at the finest scale gives the latent back

    @abstractmethod
    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """Latent and codes of x."""

    @abstractmethod
    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The data of a latent, which codes alone or codes and residual have painted."""

    @abstractmethod
    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Training losses; "loss" is minimised, the rest is logged."""

    def reconstruct(self, x: Float[Tensor, "B X *size"], rng: Draws) -> Reconstruction:
        """The pass behind `loss`, to the bit, with the data that it gave: for losses that the training adds."""
        raise UserError("this tokenizer's training knows no adversary")

    def schedule(self, progress: float) -> None:
        """Called before each training step with its progress in [0, 1): phases begin and end here."""

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Called once when training ends, with many examples: measures the latents' mean and standard deviation."""

    @abstractmethod
    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """The codebook's vectors: of codes (B, n) int64, or of mixtures (B, n, V) of them."""

    @abstractmethod
    def blank(self, batch: int) -> Canvas:
        """An empty canvas."""

    @abstractmethod
    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """What coarser scales left for scale s; nothing of scale s itself."""

    @abstractmethod
    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """What painting scale s should add to the canvas as it is."""

    @abstractmethod
    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """A new canvas with the step's vectors painted."""
