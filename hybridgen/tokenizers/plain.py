"""Tokenizers of one scale without codes: the vector drawn at a position is the latent there."""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.positions import to_grid, to_sequence
from hybridgen.nn.standardise import Standardise
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.base import AT_ONCE, Tokenizer
from hybridgen.tokenizers.canvas import blank_canvas, note
from hybridgen.types import Canvas, Grid, Step, Tokens, TokenSpec


class PlainTokenizer(Tokenizer):
    """What all of them share; one that derives from it gives `latent`, `decode` and `loss`. The residual is the latent.

    Args:
        grid: of the latent.
        channels: C of the latent.
        scale: multiplies the latent; None: it is standardised by what training measures.
    """

    def __init__(self, grid: Grid, channels: int, scale: float | None = None) -> None:
        super().__init__()
        self.spec = TokenSpec(grid, channels, (grid,), 0)
        self.fixed_units = scale is not None
        self.units = Standardise(channels, scale)

    @abstractmethod
    def latent(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The latent of x in its own units, float32."""

    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """The standardised latent; no codes."""
        return Tokens(self.units(self.latent(x)), [])

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and standard deviation of the latents of x."""
        with torch.no_grad():
            self.units.measure(torch.cat([self.latent(some) for some in x.split(AT_ONCE)]))

    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """There are no codes."""
        raise UserError("this tokenizer has no codes")

    def blank(self, batch: int) -> Canvas:
        """Zeros: the mean latent."""
        like = self.units.mean
        return blank_canvas(self.spec, torch.zeros(batch, self.spec.channels, *self.spec.grid, device=like.device))

    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The blank: there is no coarser scale."""
        return to_sequence(canvas.began(s))

    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The whole latent."""
        return to_sequence(tokens.latent)

    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """The canvas with the step's vectors as its latent; unknown positions are zero."""
        canvas = note(canvas, step, codes, vectors)
        return canvas.with_(latent=to_grid(canvas.vectors[step.scale], self.spec.grid))
