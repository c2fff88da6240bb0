"""A tokenizer without learning: patches of pixels as vectors. It is fast and exact, and serves tests."""

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.conv import fold, unfold
from hybridgen.nn.draws import Draws
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.plain import PlainTokenizer
from hybridgen.types import DataSpec


class PatchTokenizer(PlainTokenizer):
    """Each patch of the data is one vector; decoding is exact. No codes: the residual is the whole latent.

    Args:
        data: the data that is tokenised.
        patch: side of a patch, in pixels (samples, frames).
    """

    def __init__(self, data: DataSpec, *, patch: Annotated[int, Ge(1)] = 2) -> None:
        if any(side % patch for side in data.size):
            raise UserError(f"patch: {patch} does not divide the data's size {data.size}")
        grid = tuple(side // patch for side in data.size)
        super().__init__(grid, data.channels * patch ** len(grid))
        self.patch = patch

    def latent(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B C *grid"]:
        """The patches."""
        return fold(x, self.patch)

    def decode(self, latent: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B X *size"]:
        """The inverse of `encode`."""
        return unfold(self.units.inverse(latent), self.patch)

    def loss(self, x: Float[Tensor, "B X *size"], rng: Draws) -> dict[str, Tensor]:
        """Zero: nothing learns."""
        return {"loss": x.new_zeros(())}
