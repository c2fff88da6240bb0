"""A transformer that is causal across steps and sees everything within a step.

Sources: VAR (arXiv:2404.02905, section 3.2) for next-scale inputs and the block-causal mask; HART (arXiv:2410.10812,
section 3.2) for the level embedding and the shared coordinate frame; LlamaGen (arXiv:2406.06525) for raster inputs.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.backbones.base import Backbone
from hybridgen.errors import UserError
from hybridgen.nn.attention import KeyValues
from hybridgen.nn.block import Block
from hybridgen.nn.embed import grid_coordinates, sincos
from hybridgen.nn.positions import repeat_rows, take
from hybridgen.types import Canvas, Condition, Due, Step, TokenSpec


@dataclass
class CausalState:
    """What sampling remembers: keys and values a layer, the last step, the scale that began, the condition."""

    condition: Condition
    caches: list[KeyValues]
    previous: Step | None = None
    first: int | None = None


class CausalBackbone(Backbone):
    """Predicts what a step draws from all earlier steps, with keys and values cached in sampling.

    Args:
        tokens: what the tokenizer offers.
        width: D.
        depth: number of blocks.
        heads: attention heads; must divide width.
        mlp_ratio: hidden width of a block's MLP, in D.
        reads: a step's input: the view that coarser scales left, or the vectors or codes of the step before it.
        places: positions as learned tables (one a scale), or as sines and cosines of coordinates that all scales
            share, which allows other schedules of scales.
        levels: the scale as a learned table, or as a network of its resolution, which allows other schedules too.
        qk_norm: normalise queries and keys.
        cross: attend to the condition's tokens in each block instead of taking them as a prefix.
    """

    def __init__(
        self,
        tokens: TokenSpec,
        *,
        width: Annotated[int, Ge(1)] = 128,
        depth: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
        mlp_ratio: Annotated[float, Ge(0.1)] = 4.0,
        reads: Literal["view", "vectors", "codes"] = "view",
        places: Literal["table", "sincos"] = "table",
        levels: Literal["table", "resolution"] = "table",
        qk_norm: bool = False,
        cross: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"heads: {heads} does not divide width {width}")
        if reads == "codes" and not tokens.vocab:
            raise UserError("reads: 'codes' needs a tokenizer with codes; use 'vectors'")
        self.width, self.reads, self.cross = width, reads, cross
        self.inp = nn.Linear(tokens.channels, width)
        self.table = nn.Embedding(tokens.vocab, width) if reads == "codes" else None
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.start_from = nn.Linear(width, width)
        self.places = _Places(tokens, width, places, levels)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, "adaln", cross, qk_norm) for _ in range(depth))
        for linear in (self.inp, self.start_from):
            nn.init.trunc_normal_(linear.weight, std=width**-0.5)
            nn.init.zeros_(linear.bias)
        nn.init.normal_(self.start, std=0.02)

    def forward(
        self, canvas: Canvas, views: dict[int, Tensor], due: Due, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        """All steps at once, under a mask that lets each see itself and what came before."""
        x = self._all_inputs(canvas, views, due, condition)
        prefix = self._prefix(condition)
        before = torch.full((prefix.shape[1],), -1, device=x.device)
        step = torch.cat([before, due.step])
        seen, there = step[:, None] >= step[None], self._there(condition, len(step))
        seen = seen if there is None else seen & there
        x = torch.cat([prefix, x], 1)
        for block in self.blocks:
            x = block(x, condition.pooled(), seen, None, *self._crossed(condition))
        return x[:, prefix.shape[1] :]

    def begin(self, condition: Condition) -> CausalState:
        """Empty caches, or the prefix in them."""
        state = CausalState(condition, [KeyValues() for _ in self.blocks])
        prefix = self._prefix(condition)
        if prefix.shape[1]:
            self._run(prefix, state)
        return state

    def advance(
        self, state: CausalState, canvas: Canvas, view: Float[Tensor, "B n_s C"], step: Step
    ) -> Float[Tensor, "rows n D"]:
        """The step's positions, given everything in the cache."""
        state.first = step.scale if state.previous is None else state.first
        if state.previous is None or (self.reads == "view" and step.scale == state.first):
            x = self._start(state.condition).expand(-1, step.positions.shape[1], -1)
        elif self.reads == "view":
            x = self.inp(take(view, step.positions))
        else:
            before = state.previous
            self._need_equal_steps((before.scale, step.scale), (before.positions.shape[1], step.positions.shape[1]))
            x = self._content(canvas, before.scale, before.positions)
        state.previous = step
        x = repeat_rows(x, state.condition.rows) + repeat_rows(
            self.places(step.scale, step.positions), state.condition.rows
        )
        return self._run(x, state)

    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """The same map that inputs go through."""
        return self.inp(vectors)

    def _all_inputs(
        self, canvas: Canvas, views: dict[int, Tensor], due: Due, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        first, start = due.sizes[0], self._start(condition)
        if self.reads == "view":
            spans = due.spans()
            later = [self.inp(take(views[s], due.positions[:, cut])) for s, cut in spans[1:]]
            first = spans[0][1].stop
        else:
            self._need_equal_steps(due.scales, due.sizes)
            content = self._content(canvas, due.scales[0], due.positions)
            later = [content[:, :-first]]
        x = torch.cat([start.expand(-1, first, -1), *(repeat_rows(part, condition.rows) for part in later)], 1)
        places = [self.places(s, due.positions[:, cut]) for s, cut in due.spans()]
        return x + repeat_rows(torch.cat(places, 1), condition.rows)

    def _need_equal_steps(self, scales: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        """A step's input is the step before it, position by position."""
        if len(set(scales)) > 1 or len(set(sizes)) > 1:
            raise UserError(
                f"backbone reads '{self.reads}' of the step before, so all steps need one scale and one size; given "
                f"scales {scales} and sizes {sizes}\n  take an order of equal patches and sampler.sets=1, or reads=view"
            )

    def _content(self, canvas: Canvas, s: int, positions: Tensor) -> Float[Tensor, "B n D"]:
        if self.table is not None:
            return self.table(take(canvas.codes[s], positions))
        return self.inp(take(canvas.vectors[s], positions))

    def _start(self, condition: Condition) -> Float[Tensor, "rows 1 D"]:
        return self.start + self.start_from(condition.pooled())[:, None]

    def _prefix(self, condition: Condition) -> Float[Tensor, "rows P D"]:
        if condition.tokens is None or self.cross:
            return self.start.new_zeros(condition.rows, 0, self.width)
        return condition.tokens

    def _crossed(self, condition: Condition) -> tuple[Tensor | None, Tensor | None]:
        return (condition.tokens, condition.mask) if self.cross else (None, None)

    def _there(self, condition: Condition, keys: int) -> Bool[Tensor, "rows 1 1 M"] | None:
        """Which of the prefix and what follows it are there: a prefix may be padded. None where all are."""
        if condition.mask is None or condition.tokens is None or self.cross:
            return None
        return rearrange(F.pad(condition.mask, (0, keys - condition.mask.shape[1]), value=True), "rows M -> rows 1 1 M")

    def _run(self, x: Float[Tensor, "rows n D"], state: CausalState) -> Float[Tensor, "rows n D"]:
        seen = state.caches[0].k
        there = self._there(state.condition, x.shape[1] + (0 if seen is None else seen.shape[2]))
        for block, cache in zip(self.blocks, state.caches, strict=True):
            x = block(x, state.condition.pooled(), there, cache, *self._crossed(state.condition))
        return x


class _Places(nn.Module):
    """Position and level of each token, (B, n, D)."""

    def __init__(
        self, tokens: TokenSpec, width: int, places: Literal["table", "sincos"], levels: Literal["table", "resolution"]
    ) -> None:
        super().__init__()
        coordinates = [grid_coordinates(grid) for grid in tokens.scales]
        if places == "table":
            self.tables = nn.ParameterList(nn.Parameter(0.02 * torch.randn(len(c), width)) for c in coordinates)
            self.project = None
        else:
            waves = [sincos(c, width) for c in coordinates]
            self.tables = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w in waves)
            self.project = nn.Linear(width, width)
        self.levels = nn.Parameter(0.02 * torch.randn(len(tokens.scales), width)) if levels == "table" else None
        self.level_net = (
            None if levels == "table" else nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        )
        share = [[g / full for g, full in zip(grid, tokens.grid, strict=True)] for grid in tokens.scales]
        self.register_buffer("resolution", sincos(torch.tensor(share), width), persistent=False)

    resolution: Tensor  # (S, D) sines and cosines of each scale's share of the full grid

    def forward(self, s: int, positions: Tensor) -> Float[Tensor, "B n D"]:
        """Sum of the two embeddings."""
        place = self.tables[s][positions]
        if self.project is not None:
            place = self.project(place)
        if self.level_net is None:
            assert self.levels is not None, "levels are a table when there is no network"
            return place + self.levels[s]
        return place + self.level_net(self.resolution[s])
