"""What flows through a hybrid generator, from data to sample.

Axis letters, the same in every file: `B` batch, `rows` = B or 2B when guided, `N` all positions due in training,
`n` positions of one step or scale, `C` latent channels, `D` backbone width, `E` width inside a part, `P` prefix,
`V` vocabulary, `X` data channels, `*grid` the latent grid and `*size` the data, of any number of dimensions.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Grid = tuple[int, ...]


@dataclass(frozen=True)
class DataSpec:
    """What a data set offers: x is (B, X, *size) in [-1, 1]; `classes` is empty without labels.

    `medium` names the card of registry/medium/ that says how a sample is stored, shown, written and read. `rates` are
    samples or frames per second of each axis, None where an axis has no time; empty: no axis has.
    """

    channels: int
    size: Grid
    classes: tuple[str, ...] = ()
    medium: str = "image"
    rates: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class TokenSpec:
    """What a tokenizer offers: latents (B, C, *grid), codes of each scale (coarse to fine) out of `vocab` (0: none)."""

    grid: Grid
    channels: int
    scales: tuple[Grid, ...]
    vocab: int


@dataclass
class Tokens:
    """What a tokenizer makes of x."""

    latent: Float[Tensor, "B C *grid"]
    codes: list[Int[Tensor, "B _"]]  # one entry a scale, with n_s positions; empty without codes


@dataclass
class Condition:
    """What the user asked for, as vectors; `null` stands for asking for nothing and has batch 1."""

    vector: Float[Tensor, "B D"] | None = None
    tokens: Float[Tensor, "B P D"] | None = None
    mask: Bool[Tensor, "B P"] | None = None
    positions: Float[Tensor, "B P A"] | None = None
    null: "Condition | None" = None

    @property
    def rows(self) -> int:
        """Rows of the batch that the backbone sees."""
        given = self.vector if self.vector is not None else self.tokens
        assert given is not None, "a condition has a vector or tokens"
        return given.shape[0]

    def guided(self) -> "Condition":
        """The conditional rows, then as many null rows."""
        assert self.null is not None, "guidance needs a null condition"
        null = self.null
        return Condition(
            vector=_stack(self.vector, null.vector),
            tokens=_stack(self.tokens, null.tokens),
            mask=_stack(self.mask, null.mask),
            positions=_stack(self.positions, null.positions),
        )

    def pooled(self) -> Float[Tensor, "B D"]:
        """One vector a row: the vector, or the largest entries over the tokens that are there."""
        if self.vector is not None:
            return self.vector
        assert self.tokens is not None, "a condition has a vector or tokens"
        if self.mask is None:
            return self.tokens.amax(1)
        largest = self.tokens.masked_fill(~self.mask[..., None], -torch.inf).amax(1)
        return largest.masked_fill(~self.mask.any(1, keepdim=True), 0.0)


def _stack(rows: Tensor | None, null: Tensor | None) -> Tensor | None:
    if rows is None or null is None:
        return None
    return torch.cat([rows, null.to(rows).expand_as(rows)])


@dataclass
class Step:
    """What is due next: `positions` of one scale; `grid` is their shape, `(n,)` when irregular.

    `keep` > 0: all are drawn, then only the `keep` surest stay.
    """

    scale: int
    positions: Int[Tensor, "B n"]
    grid: Grid
    keep: int = 0


@dataclass
class StepLayout:
    """The steps of a training pass laid end to end: column i belongs to step `step[i]`."""

    positions: Int[Tensor, "B N"]
    sizes: tuple[int, ...]  # columns of each step
    scales: tuple[int, ...]  # scale of each step
    grids: tuple[Grid, ...]  # shape of each step's set

    @property
    def step(self) -> Int[Tensor, " N"]:
        """Index of the step that each column belongs to."""
        device = self.positions.device
        return torch.repeat_interleave(
            torch.arange(len(self.sizes), device=device), torch.tensor(self.sizes).to(device)
        )

    def columns(self) -> list[tuple[Step, slice]]:
        """Each step with the columns it fills."""
        out, start = [], 0
        for size, scale, grid in zip(self.sizes, self.scales, self.grids, strict=True):
            cut = slice(start, start + size)
            out.append((Step(scale, self.positions[:, cut], grid), cut))
            start += size
        return out

    def spans(self) -> list[tuple[int, slice]]:
        """The columns of each scale, consecutive steps of one scale taken together."""
        out: list[tuple[int, slice]] = []
        for step, cut in self.columns():
            if out and out[-1][0] == step.scale:
                out[-1] = (step.scale, slice(out[-1][1].start, cut.stop))
            else:
                out.append((step.scale, cut))
        return out


@dataclass
class Canvas:
    """The sample while it is drawn.

    `before` is the latent when scale `scale` began: a view is a snapshot of it, never of the live latent.
    """

    latent: Float[Tensor, "B C *grid"]
    before: Float[Tensor, "B C *grid"]
    scale: int
    codes: list[Int[Tensor, "B _"]]  # one entry a scale, with n_s positions
    vectors: list[Float[Tensor, "B _ C"]]
    known: list[Bool[Tensor, "B _"]]

    def began(self, s: int) -> Float[Tensor, "B C *grid"]:
        """The latent as it stood when scale `s` began."""
        return self.before if s == self.scale else self.latent

    def with_(self, **changes: Any) -> "Canvas":
        """A copy with these fields changed; nothing is written in place."""
        return replace(self, **changes)
