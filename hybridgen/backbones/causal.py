"""A transformer that is causal across steps and sees everything within a step.

Sources: VAR (arXiv:2404.02905, section 3.2) for next-scale inputs and the block-causal mask; HART (arXiv:2410.10812,
section 3.2) for the level embedding, the shared coordinate frame and the prefix that stands for the first scale;
LlamaGen (arXiv:2406.06525) for raster inputs.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.backbones.attention_masks import both, step_causal, unpadded
from hybridgen.backbones.base import Backbone
from hybridgen.backbones.condition_entry import ConditionEntry
from hybridgen.backbones.position_embedding import Places
from hybridgen.backbones.positions import Positions
from hybridgen.nn.adaln import Modulation
from hybridgen.nn.attention import KeyValues
from hybridgen.nn.block import Block, BlockStyle, ConditionKind
from hybridgen.nn.pool import pooled
from hybridgen.nn.positions import repeat_rows, take
from hybridgen.nn.rotary import Rotation
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Step, StepLayout, TokenSpec

_BLOCKS: Final[dict[str, ConditionKind]] = {"block": "adaln", "shared": "table", "pooled": "table", "none": "none"}

Six = tuple[Tensor, ...] | None  # modulations of a block, (rows, 1, D) each


@dataclass
class CausalState:
    """What sampling remembers: the condition, its modulation of each block, keys and values, the last step."""

    condition: Condition
    modulations: list[Six]
    caches: list[KeyValues]
    prefix: Float[Tensor, "rows P D"]  # hidden vectors of the prefix
    previous: Step | None = None
    first: int | None = None  # the first scale


class CausalBackbone(Backbone):
    """Predicts what a step draws from all earlier steps; keys and values are cached while sampling.

    Args:
        tokens: what the tokenizer offers.
        width: D.
        depth: number of blocks.
        heads: number of attention heads; must divide width.
        mlp_ratio: hidden width of a block's MLP, in units of D (of a gated MLP, two thirds of it).
        reads: input of a step: the view that coarser scales left, or the vectors or codes of the step before.
        embeds: keep a map of vectors where inputs are codes: heads that are given the drawn vectors need it.
        condition: how the condition enters: as the first input, a prefix, a modulation, or by cross attention.
        positions: how positions and scales enter: vectors added to inputs, and rotations.
        block: norms, MLP, biases and attention of the blocks.
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
        embeds: bool = True,
        condition: ConditionEntry = ConditionEntry(),
        positions: Positions = Positions(),
        block: BlockStyle = BlockStyle(),
    ) -> None:
        super().__init__()
        _check(tokens, width, heads, reads, positions)
        self.width, self.reads, self.entry, self.rotates = width, reads, condition, positions.rotates
        self.inp = nn.Linear(tokens.channels, width) if embeds or reads != "codes" else None
        self.table = nn.Embedding(tokens.vocab, width) if reads == "codes" else None
        self.start = None if condition.start == "prefix" else nn.Parameter(torch.zeros(1, 1, width))
        self.start_from = nn.Linear(width, width) if condition.start == "learned" else None
        self.places = Places(tokens, width, positions.places, positions.levels)
        self.rotary = positions.rotations(tokens, width // heads)
        self.shared = Modulation(width, width, 6) if condition.modulation == "shared" else None
        modulated = _BLOCKS[condition.modulation]
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio, modulated, condition.cross, block) for _ in range(depth)
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
        """All steps at once, under a mask that lets each step see itself and those before it."""
        prefix = self._prefix(condition)
        x = torch.cat([prefix, self._inputs(canvas, views, due, condition)], 1)
        skip = 1 if self.entry.start == "prefix" else 0
        past = step_causal(due, prefix.shape[1], self.entry.prefix_sees == "past", skip)
        seen = both(past, self._there(condition, x.shape[1]))
        rotation = None
        if self.rotary is not None:
            rotation = self.rotary.along(due, condition, prefix.shape[1], skip, self.rotates == "read")
        for block, six in zip(self.blocks, self._modulations(condition), strict=True):
            x = block(x, six, seen, None, *self._crossed(condition), rotation)
        return x[:, -due.positions.shape[1] :]

    def begin(self, condition: Condition) -> CausalState:
        """Empty caches, or the prefix in them."""
        prefix = self._prefix(condition)
        state = CausalState(condition, self._modulations(condition), [KeyValues() for _ in self.blocks], prefix)
        n = prefix.shape[1]
        if n:
            rotation = None if self.rotary is None else self.rotary.prefix(condition, n)
            past = prefix.new_ones(n, n, dtype=torch.bool).tril() if self.entry.prefix_sees == "past" else None
            state.prefix = self._run(prefix, state, rotation, past)
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
            if self.entry.start == "prefix":
                return state.prefix[:, -1:]
        elif self.reads == "view":
            x = self._map(take(view, step.positions))
        else:
            self._need_equal_steps((before.scale, step.scale), (before.positions.shape[1], n))
            x = self._content(canvas, before.scale, before.positions)
        places = self.places(step.scale, step.positions)
        x = repeat_rows(x + places, rows) if x.shape[0] == places.shape[0] else x + repeat_rows(places, rows)
        return self._run(x, state, self._rotation(step if self.rotates == "drawn" else before, n, state))

    def cached(self, state: CausalState) -> list[KeyValues]:
        """One entry per block, once something was seen."""
        return [cache for cache in state.caches if cache.k is not None]

    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """The same map that inputs go through."""
        return self._map(vectors)

    def _inputs(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows n D"]:
        """Inputs of all steps with their positions; without those of the first step where the prefix stands for it."""
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
        """Raises unless each step can read the step before it, position by position."""
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
        """Input of the first n positions; no input where the prefix' last token stands for them."""
        if self.start is None:
            if n != 1:
                raise UserError(f"condition.start: 'prefix' draws one position, and the first step has {n}")
            return self._none(condition)
        given = condition.pooled()
        given = given if self.start_from is None else self.start_from(given)
        return (self.start + given[:, None]).expand(-1, n, -1)

    def _prefix(self, condition: Condition) -> Float[Tensor, "rows P D"]:
        """What precedes the first step; with the first scale's level where it stands for the first step."""
        tokens = condition.tokens if self.entry.prefix != "vector" and not self.entry.cross else None
        vector = condition.pooled()[:, None] if self.entry.prefix != "tokens" else None
        parts = [part for part in (tokens, vector) if part is not None]
        if self.entry.start != "prefix":
            return torch.cat(parts, 1) if parts else self._none(condition)
        if not parts:
            raise UserError("condition.start: 'prefix' needs a condition with tokens, or condition.prefix=vector")
        return torch.cat(parts, 1) + self.places.level(0)

    def _none(self, condition: Condition) -> Float[Tensor, "rows 0 D"]:
        return self.places.waves.new_zeros(condition.rows, 0, self.width)

    def _modulations(self, condition: Condition) -> list[Six]:
        """The modulations of each block by the condition, which are the same in all steps of a sample."""
        if self.entry.modulation == "none":
            return [None for _ in self.blocks]
        vector = pooled(condition, self.entry.pool)[:, None]
        given = vector if self.shared is None else self.shared(vector)
        if self.entry.modulation == "pooled":
            given = (vector,) * 6
        return [cast(Block, block).modulate(given) for block in self.blocks]

    def _crossed(self, condition: Condition) -> tuple[Tensor | None, Tensor | None]:
        return (condition.tokens, condition.mask) if self.entry.cross else (None, None)

    def _there(self, condition: Condition, keys: int) -> Bool[Tensor, "rows 1 1 M"] | None:
        """Which keys are no padding of the prefix; None where none is padding."""
        no_padding = self.entry.cross or self.entry.padding == "seen" or self.entry.prefix == "vector"
        return None if no_padding else unpadded(condition, keys)

    def _rotation(self, step: Step | None, n: int, state: CausalState) -> Rotation | None:
        """The rotation of one step; where `step` is None, that of n positions that are not rotated."""
        if self.rotary is None:
            return None
        if step is None:
            return self.rotary.still(n)
        return self.rotary.at([(step.scale, step.positions)], state.condition, state.prefix.shape[1])

    def _run(
        self, x: Float[Tensor, "rows n D"], state: CausalState, rotation: Rotation | None, seen: Tensor | None = None
    ) -> Float[Tensor, "rows n D"]:
        """Through all blocks; their caches append x."""
        known = state.caches[0].k
        there = self._there(state.condition, x.shape[1] + (0 if known is None else known.shape[2]))
        for block, six, cache in zip(self.blocks, state.modulations, state.caches, strict=True):
            x = block(x, six, both(seen, there), cache, *self._crossed(state.condition), rotation)
        return x


def _check(tokens: TokenSpec, width: int, heads: int, reads: str, positions: Positions) -> None:
    if width % heads:
        raise UserError(f"heads: {heads} does not divide width {width}")
    if reads == "codes" and not tokens.vocab:
        raise UserError("reads: 'codes' needs a tokenizer with codes; use 'vectors'")
    if positions.rotates == "read" and reads == "view":
        raise UserError("positions.rotates: 'read' needs a step that reads positions; use reads=codes or reads=vectors")
