"""The contract of a tokenizer: data to latent and codes, and the canvas that a generator paints."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.draws import Draws
from hybridgen.types import Canvas, Step, Tokens, TokenSpec


class Tokenizer(nn.Module, ABC):
    """What a picture is made of. Latents are centred and of unit deviation, by constants that the tokenizer keeps.

    Painting scale s adds vectors to the canvas: the codebook's of its codes, plus the residual where one is drawn.
    """

    spec: TokenSpec
    fixed_units: bool = False  # latents keep a given scale instead: `measure` changes nothing
    supports_residual: bool = (
        True  # painting what is owed at the finest scale gives the latent back: a residual may be trained
    )

    @abstractmethod
    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """Latent and codes of x."""

    @abstractmethod
    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The picture of a latent, be it painted by codes alone or by codes and residual."""

    @abstractmethod
    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Training losses; "loss" is what is minimised, the rest is logged."""

    def schedule(self, progress: float) -> None:
        """Told before each training step how far training is, in [0, 1): phases begin and end here."""

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Told once when training ends, with many examples: measure the latents' mean and deviation."""

    @abstractmethod
    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """The codebook's vectors: of codes (B, n) int64, or of mixtures (B, n, V) of them."""

    @abstractmethod
    def blank(self, batch: int) -> Canvas:
        """An empty canvas."""

    @abstractmethod
    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """What coarser scales left for scale s; never anything of scale s itself."""

    @abstractmethod
    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """What painting scale s should add, measured against what is painted so far."""

    @abstractmethod
    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """A new canvas with the step's vectors painted."""
