"""What tokenizers share about a canvas: an empty one, one with a step noted, and the painting of the truth."""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.positions import every_position, put
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.types import Canvas, Step, Tokens, TokenSpec


def blank_canvas(spec: TokenSpec, empty: Float[Tensor, "B C *grid"]) -> Canvas:
    """A canvas on which nothing is known; `empty` is the latent of nothing."""
    batch, device = empty.shape[0], empty.device
    sizes = [prod(grid) for grid in spec.scales]
    return Canvas(
        latent=empty,
        before=empty,
        scale=0,
        codes=[torch.zeros(batch, n, dtype=torch.long, device=device) for n in sizes],
        vectors=[torch.zeros(batch, n, spec.channels, device=device) for n in sizes],
        known=[torch.zeros(batch, n, dtype=torch.bool, device=device) for n in sizes],
    )


def note(canvas: Canvas, step: Step, codes: Tensor | None, vectors: Float[Tensor, "B n C"]) -> Canvas:
    """The canvas with the step's codes and vectors noted; the tokenizer paints the latent."""
    s, at = step.scale, step.positions
    return canvas.with_(
        before=canvas.began(s),
        scale=s,
        codes=canvas.codes if codes is None else _at(canvas.codes, s, put(canvas.codes[s], at, codes)),
        vectors=_at(canvas.vectors, s, put(canvas.vectors[s], at, vectors)),
        known=_at(canvas.known, s, put(canvas.known[s], at, torch.ones_like(at, dtype=torch.bool))),
    )


def _at(entries: list[Tensor], s: int, value: Tensor) -> list[Tensor]:
    return [*entries[:s], value, *entries[s + 1 :]]


@dataclass
class Replay:
    """The truth as it would have been painted."""

    canvas: Canvas  # finished
    before: dict[int, Canvas]  # as each scale began
    views: dict[int, Float[Tensor, "B _ C"]]  # of each scale, at its n_s positions
    owed: dict[int, Float[Tensor, "B _ C"]]


def replay(tokenizer: Tokenizer, tokens: Tokens, scales: tuple[int, ...], residual_at: tuple[int, ...]) -> Replay:
    """Teacher forcing: paints the truth, scale by scale.

    Where a residual is carried (`residual_at`) all that is owed is painted, elsewhere the codes' vectors. Since what
    is owed is measured against the canvas, the finished latent is `tokens.latent` if the last scale carries (law 1).
    """
    batch, device = tokens.latent.shape[0], tokens.latent.device
    canvas = tokenizer.blank(batch)
    truth = Replay(canvas, {}, {}, {})
    for s in scales:
        truth.before[s] = canvas
        truth.views[s] = tokenizer.view(canvas, s)
        truth.owed[s] = tokenizer.owed(tokens, canvas, s)
        grid = tokenizer.spec.scales[s]
        step = Step(s, every_position(batch, grid, device), grid)
        codes = tokens.codes[s] if tokens.codes else None
        vectors = truth.owed[s] if codes is None or s in residual_at else tokenizer.lookup(codes, s)
        canvas = tokenizer.paint(canvas, step, codes, vectors)
    truth.canvas = canvas
    return truth
