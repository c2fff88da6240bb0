"""A tokenizer without learning: patches of pixels as vectors. Fast, exact, and a friend of tests."""

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import fold, unfold
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.standardise import Standardise
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import blank_canvas
from hybridgen.tokenizers.plain import paint_plain
from hybridgen.types import Canvas, DataSpec, Step, Tokens, TokenSpec


class PatchTokenizer(Tokenizer):
    """Each patch of the data is one vector; decoding is exact. No codes: the residual is the whole latent.

    Args:
        data: what is tokenised.
        patch: side of a patch, in pixels (samples, frames).
    """

    def __init__(self, data: DataSpec, *, patch: Annotated[int, Ge(1)] = 2) -> None:
        super().__init__()
        if any(side % patch for side in data.size):
            raise UserError(f"patch: {patch} does not divide the data's size {data.size}")
        grid = tuple(side // patch for side in data.size)
        self.patch = patch
        self.spec = TokenSpec(grid, data.channels * patch ** len(grid), (grid,), 0)
        self.units = Standardise(self.spec.channels)

    def encode(self, x: Float[Tensor, "B X *size"]) -> Tokens:
        """Patches, standardised."""
        return Tokens(self.units(fold(x, self.patch)), [])

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The inverse of `encode`."""
        return unfold(self.units.inverse(latent), self.patch)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Zero: nothing learns."""
        return {"loss": x.new_zeros(())}

    def measure(self, x: Float[Tensor, "B X *size"]) -> None:
        """Mean and deviation of each entry of a patch."""
        self.units.measure(fold(x, self.patch))

    def lookup(self, codes: Tensor, s: int) -> Float[Tensor, "B n C"]:
        """There are no codes."""
        raise UserError("the patch tokenizer has no codes")

    def blank(self, batch: int) -> Canvas:
        """Zeros: the mean of the data."""
        like = self.units.mean
        return blank_canvas(self.spec, torch.zeros(batch, self.spec.channels, *self.spec.grid, device=like.device))

    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The blank: there is no coarser scale."""
        return to_sequence(canvas.began(s))

    def owed(self, tokens: Tokens, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """The whole latent."""
        return to_sequence(tokens.latent)

    def paint(self, canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
        """Puts the vectors where they belong."""
        return paint_plain(canvas, step, codes, vectors, self.spec)
