"""A transformer that is causal across steps and sees everything within a step.

Sources: VAR (arXiv:2404.02905, section 3.2) for next-scale inputs and the block-causal mask; HART (arXiv:2410.10812,
section 3.2) for the level embedding, the shared coordinate frame and the prefix that stands for the first scale;
LlamaGen (arXiv:2406.06525) for raster inputs.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.backbones.attention_masks import both, step_causal, unpadded
from hybridgen.backbones.base import Backbone
from hybridgen.backbones.position_embedding import LevelKind, PlaceKind, Places
from hybridgen.backbones.rotary_positions import Coordinates, PrefixTurn, Turning
from hybridgen.nn.adaln import Modulation
from hybridgen.nn.attention import Biases, KeyValues
from hybridgen.nn.block import Block, BlockStyle, ConditionKind
from hybridgen.nn.mlp import MLPKind
from hybridgen.nn.norm import NormKind
from hybridgen.nn.pool import PoolKind, pooled
from hybridgen.nn.positions import repeat_rows, take
from hybridgen.nn.rotary import Pairing, Rotation
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Step, StepLayout, TokenSpec

_BLOCKS: Final[dict[str, ConditionKind]] = {"block": "adaln", "shared": "table", "pooled": "table", "none": "none"}

Six = tuple[Tensor, ...] | None  # modulations of a block, (rows, 1, D) each


@dataclass
class CausalState:
    """What sampling remembers: the condition and what it does to each block, keys and values, the last step."""

    condition: Condition
    modulations: list[Six]
    caches: list[KeyValues]
    prefix: Float[Tensor, "rows P D"]  # hidden vectors of the prefix
    previous: Step | None = None
    first: int | None = None  # the scale that began


class CausalBackbone(Backbone):
    """Predicts what a step draws from all earlier steps, with keys and values cached in sampling.

    Args:
        tokens: what the tokenizer offers.
        width: D.
        depth: number of blocks.
        heads: attention heads; must divide width.
        reads: a step's input: the view that coarser scales left, or the vectors or codes of the step before it.
        embeds: keep a map of vectors where inputs are codes: heads that are told what was drawn need it.
        start: the first step's input: a learned vector plus a linear map of the condition | plus the condition's vector
            as it is | none: the prefix' last token, which then draws the first position.
        prefix: what stands before the first step: the condition's tokens, its vector as one token, or both.
        prefix_sees: a prefix' token sees the whole prefix, or what comes before it and itself.
        padding: of the condition's tokens: masked, or seen as if it was there.
        places: positions as learned tables (one a scale), or as sines and cosines of coordinates that all scales
            share, which allows other schedules of scales.
        levels: the scale as a learned table, or as a network of its resolution, which allows other schedules too, or of
            its index.
        rotary: queries and keys are turned by their positions, in pairs within each axis' share of a head (its halves,
            or neighbours), or across the shares.
        rotates: which position steps them: the one that is drawn, or the one that is read.
        coordinates: of a position: scaled to the finest grid, or its index on its own.
        rotary_shift: coordinates begin after the last position of the prefix.
        prefix_rotary: the prefix is turned by its positions, or left as it is, or its queries and keys are made zero.
        modulation: of the blocks by the condition: a linear map in each | one that all share, plus a table in each |
            the pooled condition itself, plus a table in each | none.
        pool: the condition as one vector for that.
        mlp: kind of MLP.
        mlp_ratio: hidden width of a block's MLP, in D (a gated one's is two thirds of it).
        mlp_multiple: that width is rounded up to a multiple of this.
        norm: kind of norm.
        norm_eps: of the norms.
        norm_gain: modulated norms have parameters of their own, as plain ones always do.
        one_norm: attention and MLP of a block share one norm.
        qk_norm: normalise queries and keys, with a learned scale a head.
        attention_gain: of the scores, in units of 1 / sqrt(d), without `qk_norm`.
        biases: of the attention's projections.
        cross: attend to the condition's tokens in each block instead of taking them as a prefix.
    """

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        tokens: TokenSpec,
        *,
        width: Annotated[int, Ge(1)] = 128,
        depth: Annotated[int, Ge(1)] = 4,
        heads: Annotated[int, Ge(1)] = 4,
        reads: Literal["view", "vectors", "codes"] = "view",
        embeds: bool = True,
        start: Literal["learned", "vector", "prefix"] = "learned",
        prefix: Literal["tokens", "vector", "both"] = "tokens",
        prefix_sees: Literal["all", "past"] = "all",
        padding: Literal["masked", "seen"] = "masked",
        places: PlaceKind = "table",
        levels: LevelKind = "table",
        rotary: Literal["none"] | Pairing = "none",
        rotates: Literal["drawn", "read"] = "drawn",
        coordinates: Coordinates = "scaled",
        rotary_shift: bool = False,
        prefix_rotary: PrefixTurn = "rotate",
        modulation: Literal["block", "shared", "pooled", "none"] = "block",
        pool: PoolKind = "given",
        mlp: MLPKind = "gelu",
        mlp_ratio: Annotated[float, Ge(0.1)] = 4.0,
        mlp_multiple: Annotated[int, Ge(1)] = 1,
        norm: NormKind = "layer",
        norm_eps: Annotated[float, Gt(0)] = 1e-6,
        norm_gain: bool = False,
        one_norm: bool = False,
        qk_norm: bool = False,
        attention_gain: Annotated[float, Gt(0)] = 1.0,
        biases: Biases = "all",
        cross: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"heads: {heads} does not divide width {width}")
        if reads == "codes" and not tokens.vocab:
            raise UserError("reads: 'codes' needs a tokenizer with codes; use 'vectors'")
        if rotates == "read" and reads == "view":
            raise UserError("rotates: 'read' needs a step that reads positions; use reads=codes or reads=vectors")
        self.width, self.reads, self.begins, self.rotates = width, reads, start, rotates
        self.cross, self.prefixed, self.prefix_sees, self.padding = cross, prefix, prefix_sees, padding
        self.modulated, self.pool = modulation, pool
        self.inp = nn.Linear(tokens.channels, width) if embeds or reads != "codes" else None
        self.table = nn.Embedding(tokens.vocab, width) if reads == "codes" else None
        self.start = None if start == "prefix" else nn.Parameter(torch.zeros(1, 1, width))
        self.start_from = nn.Linear(width, width) if start == "learned" else None
        self.places = Places(tokens, width, places, levels)
        self.turning = (
            None
            if rotary == "none"
            else Turning(tokens, width // heads, rotary, coordinates, rotary_shift, prefix_rotary)
        )
        self.shared = Modulation(width, width, 6) if modulation == "shared" else None
        style = BlockStyle(norm, norm_eps, norm_gain, one_norm, mlp, mlp_multiple, biases, attention_gain)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, _BLOCKS[modulation], cross, qk_norm, style) for _ in range(depth)
        )
        for linear in (self.inp, self.start_from):
            if linear is not None:
                nn.init.trunc_normal_(linear.weight, std=width**-0.5)
                nn.init.zeros_(linear.bias)
        if self.start is not None:
            nn.init.normal_(self.start, std=0.02)

    def forward(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        """All steps at once, under a mask that lets each see itself and what came before."""
        prefix = self._prefix(condition)
        x = torch.cat([prefix, self._inputs(canvas, views, due, condition)], 1)
        skip = 1 if self.begins == "prefix" else 0
        past = step_causal(due, prefix.shape[1], self.prefix_sees == "past", skip)
        seen = both(past, self._there(condition, x.shape[1]))
        turned = None
        if self.turning is not None:
            turned = self.turning.along(due, condition, prefix.shape[1], skip, self.rotates == "read")
        for block, six in zip(self.blocks, self._modulations(condition), strict=True):
            x = block(x, six, seen, None, *self._crossed(condition), turned)
        return x[:, -due.positions.shape[1] :]

    def begin(self, condition: Condition) -> CausalState:
        """Empty caches, or the prefix in them."""
        prefix = self._prefix(condition)
        state = CausalState(condition, self._modulations(condition), [KeyValues() for _ in self.blocks], prefix)
        n = prefix.shape[1]
        if n:
            turned = None if self.turning is None else self.turning.prefix(condition, n)
            past = prefix.new_ones(n, n, dtype=torch.bool).tril() if self.prefix_sees == "past" else None
            state.prefix = self._run(prefix, state, turned, past)
        return state

    def advance(
        self, state: CausalState, canvas: Canvas, view: Float[Tensor, "B n_s C"], step: Step
    ) -> Float[Tensor, "rows n D"]:
        """The step's positions, given everything in the cache."""
        before, state.previous = state.previous, step
        state.first = step.scale if before is None else state.first
        rows, n = state.condition.rows, step.positions.shape[1]
        if before is None or (self.reads == "view" and step.scale == state.first):
            x = self._start(state.condition, n)
            if self.begins == "prefix":
                return state.prefix[:, -1:]
        elif self.reads == "view":
            x = self._map(take(view, step.positions))
        else:
            self._need_equal_steps((before.scale, step.scale), (before.positions.shape[1], n))
            x = self._content(canvas, before.scale, before.positions)
        places = self.places(step.scale, step.positions)
        x = repeat_rows(x + places, rows) if x.shape[0] == places.shape[0] else x + repeat_rows(places, rows)
        return self._run(x, state, self._turned_at(step if self.rotates == "drawn" else before, n, state))

    def cached(self, state: CausalState) -> list[KeyValues]:
        """One entry per block, once something was seen."""
        return [cache for cache in state.caches if cache.k is not None]

    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """The same map that inputs go through."""
        return self._map(vectors)

    def _inputs(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows n D"]:
        """What each step reads, and where it stands; without the first step, where the prefix stands for it."""
        spans, first = due.spans(), due.sizes[0]
        if self.reads == "view":
            first = spans[0][1].stop
            later = [self._map(take(views[s], due.positions[:, cut])) for s, cut in spans[1:]]
        else:
            self._need_equal_steps(due.scales, due.sizes)
            later = [self._content(canvas, due.scales[0], due.positions)[:, :-first]]
        start = self._start(condition, first)
        x = torch.cat([start, *(repeat_rows(part, condition.rows) for part in later)], 1)
        places = torch.cat([self.places(s, due.positions[:, cut]) for s, cut in spans], 1)
        return x + repeat_rows(places[:, -x.shape[1] :], condition.rows)

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
        return self._map(take(canvas.vectors[s], positions))

    def _map(self, vectors: Tensor) -> Tensor:
        if self.inp is None:
            raise UserError("embeds: false, but vectors have to be read; set model.backbone.embeds=true")
        return self.inp(vectors)

    def _start(self, condition: Condition, n: int) -> Float[Tensor, "rows n D"]:
        """Input of the first n positions; none where the prefix' last token stands for them."""
        if self.start is None:
            if n != 1:
                raise UserError(f"start: 'prefix' draws one position from the prefix, and the first step has {n}")
            return self._none(condition)
        given = condition.pooled()
        given = given if self.start_from is None else self.start_from(given)
        return (self.start + given[:, None]).expand(-1, n, -1)

    def _prefix(self, condition: Condition) -> Float[Tensor, "rows P D"]:
        """What stands before the first step; with the first scale's level, where it stands for the first step."""
        tokens = condition.tokens if self.prefixed != "vector" and not self.cross else None
        vector = condition.pooled()[:, None] if self.prefixed != "tokens" else None
        parts = [part for part in (tokens, vector) if part is not None]
        if self.begins != "prefix":
            return torch.cat(parts, 1) if parts else self._none(condition)
        if not parts:
            raise UserError("start: 'prefix' needs a condition with tokens, or prefix=vector")
        return torch.cat(parts, 1) + self.places.level(0)

    def _none(self, condition: Condition) -> Float[Tensor, "rows 0 D"]:
        return self.places.waves.new_zeros(condition.rows, 0, self.width)

    def _modulations(self, condition: Condition) -> list[Six]:
        """What the condition does to each block: the same in all steps of a picture."""
        if self.modulated == "none":
            return [None for _ in self.blocks]
        vector = pooled(condition, self.pool)[:, None]
        given = vector if self.shared is None else self.shared(vector)
        if self.modulated == "pooled":
            given = (vector,) * 6
        return [cast(Block, block).modulate(given) for block in self.blocks]

    def _crossed(self, condition: Condition) -> tuple[Tensor | None, Tensor | None]:
        return (condition.tokens, condition.mask) if self.cross else (None, None)

    def _there(self, condition: Condition, keys: int) -> Bool[Tensor, "rows 1 1 M"] | None:
        """Which keys are there, for a prefix may be padded; None where all are."""
        no_padding = self.cross or self.padding == "seen" or self.prefixed == "vector"
        return None if no_padding else unpadded(condition, keys)

    def _turned_at(self, step: Step | None, n: int, state: CausalState) -> Rotation | None:
        """The rotation of one step; of n positions that stand nowhere, where it is None."""
        if self.turning is None:
            return None
        if step is None:
            return self.turning.still(n)
        return self.turning.at([(step.scale, step.positions)], state.condition, state.prefix.shape[1])

    def _run(
        self, x: Float[Tensor, "rows n D"], state: CausalState, turned: Rotation | None, seen: Tensor | None = None
    ) -> Float[Tensor, "rows n D"]:
        """Through all blocks, whose caches take note of x."""
        known = state.caches[0].k
        there = self._there(state.condition, x.shape[1] + (0 if known is None else known.shape[2]))
        for block, six, cache in zip(self.blocks, state.modulations, state.caches, strict=True):
            x = block(x, six, both(seen, there), cache, *self._crossed(state.condition), turned)
        return x
