"""Painting without a pyramid: what is drawn at a position is the latent there."""

from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.positions import to_grid
from hybridgen.tokenizers.canvas import note
from hybridgen.types import Canvas, Step, TokenSpec


def paint_plain(
    canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"], spec: TokenSpec
) -> Canvas:
    """The canvas with the step's vectors as its latent; what is unknown is zero."""
    canvas = note(canvas, step, codes, vectors)
    return canvas.with_(latent=to_grid(canvas.vectors[step.scale], spec.grid))
