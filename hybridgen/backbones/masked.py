"""A transformer that sees all known positions, in both directions, and predicts those that are due.

An encoder reads what is visible; a decoder then puts mask tokens where nothing is known and attends to everything.

Sources: MAR (arXiv:2406.11838, section 3.4 and appendix) and MAE (arXiv:2111.06377, section 3) for encoder and decoder,
buffer tokens and the positions added to the output; MaskGIT (arXiv:2202.04200, section 3) for an encoder alone that
sees mask tokens too.
"""

from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from annotated_types import Ge
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hybridgen.backbones.base import Backbone
from hybridgen.nn.block import Block, BlockStyle
from hybridgen.nn.positions import every_position, put, repeat_rows, take
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Step, StepLayout, TokenSpec


@dataclass
class MaskedState:
    """What sampling remembers: the condition, and the number of known positions per row."""

    condition: Condition
    known: int = 0


class MaskedBackbone(Backbone):
    """Reads the known positions of the last scale, and the condition, again at every step.

    Args:
        tokens: what the tokenizer offers.
        width: D of the decoder and of the hidden vectors.
        depth: number of blocks of the decoder; 0: the encoder's output is the hidden vector.
        heads: number of attention heads of the decoder; must divide width.
        encoder_width: width of the encoder and of the condition; null takes `width`.
        encoder_depth: number of blocks of the encoder.
        encoder_heads: number of attention heads of the encoder; null takes `heads`.
        sees: the encoder sees visible positions alone, or also mask tokens at all others.
        reads: the vectors of known positions, or their codes.
        embeds: keep a map of vectors where inputs are codes: heads that are given the drawn vectors need it.
        buffer: number of tokens before all others, each the condition's vector with a position of its own.
        norm_places: a norm after positions were added to the encoder's input.
        out_places: positions are added to the hidden vectors, for heads that see one at a time.
        mlp_ratio: hidden width of a block's MLP, in units of the block's width.
        block: norms, MLP, attention and dropout of the blocks.
    """

    revisits = True

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        tokens: TokenSpec,
        *,
        width: Annotated[int, Ge(1)] = 128,
        depth: Annotated[int, Ge(0)] = 2,
        heads: Annotated[int, Ge(1)] = 4,
        encoder_width: Annotated[int, Ge(1)] | None = None,
        encoder_depth: Annotated[int, Ge(1)] = 2,
        encoder_heads: Annotated[int, Ge(1)] | None = None,
        sees: Literal["visible", "all"] = "visible",
        reads: Literal["vectors", "codes"] = "vectors",
        embeds: bool = True,
        buffer: Annotated[int, Ge(1)] = 8,
        norm_places: bool = True,
        out_places: bool = True,
        mlp_ratio: Annotated[float, Ge(0.1)] = 4.0,
        block: BlockStyle = BlockStyle(),
    ) -> None:
        super().__init__()
        inner, inner_heads = encoder_width or width, encoder_heads or heads
        _check(tokens, width, heads, inner, inner_heads, depth, sees, reads)
        self.width, self.inner, self.sees, self.buffer = width, inner, sees, buffer
        self.scale, count = len(tokens.scales) - 1, prod(tokens.grid)
        self.inp = nn.Linear(tokens.channels, inner) if embeds or reads == "vectors" else None
        self.table = nn.Embedding(tokens.vocab, inner) if reads == "codes" else None
        self.mask = nn.Parameter(torch.zeros(width if sees == "visible" else inner))
        self.norm_places = nn.LayerNorm(inner, eps=1e-6) if norm_places else None
        self.encoder = _Stack(buffer + count, inner, encoder_depth, inner_heads, mlp_ratio, block)
        self.bridge = nn.Linear(inner, width) if depth or inner != width else None
        self.decoder = _Stack(buffer + count, width, depth, heads, mlp_ratio, block) if depth else None
        self.out_places = nn.Parameter(torch.zeros(count, width)) if out_places else None
        self._initialise()

    @property
    def condition_width(self) -> int:
        """The encoder's: it reads the condition."""
        return self.inner

    def forward(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        """All due positions at once; they count as unknown, and each row has as many known positions as the first."""
        for s in set(due.scales):
            self._need_last(s)
        known = put(canvas.known[self.scale], due.positions, torch.zeros_like(due.positions, dtype=torch.bool))
        return self._hidden(canvas, known, int(known[0].sum()), due.positions, condition)

    def begin(self, condition: Condition) -> MaskedState:
        """Nothing is known."""
        return MaskedState(condition)

    def advance(
        self, state: MaskedState, canvas: Canvas, view: Float[Tensor, "B n_s C"], step: Step
    ) -> Float[Tensor, "rows n D"]:
        """The step's positions, given everything that is known."""
        self._need_last(step.scale)
        hidden = self._hidden(canvas, canvas.known[self.scale], state.known, step.positions, state.condition)
        state.known += step.keep or step.positions.shape[1]
        return hidden

    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """The map that inputs go through, into the decoder's width."""
        if self.inp is None:
            raise UserError("the backbone keeps no map of vectors, and a head asks for it; set backbone.embeds=true")
        embedded = self.inp(vectors)
        return embedded if self.bridge is None else self.bridge(embedded)

    def _hidden(
        self, canvas: Canvas, known: Bool[Tensor, "B M"], count: int, positions: Int[Tensor, "B n"],
        condition: Condition,
    ) -> Float[Tensor, "rows n D"]:  # fmt: skip
        """Hidden vectors of `positions`, when `count` positions per row are known."""
        rows = condition.rows
        visible = known.int().argsort(dim=1, descending=True, stable=True)[:, :count]  # in raster order
        seen, prefix = self._seen(canvas, known, visible), self._prefix(condition)
        there, p = self._there(condition), prefix.shape[1]
        x = torch.cat([prefix, repeat_rows(seen, rows)], 1)
        x = self.encoder(x if self.norm_places is None else self.norm_places(x), there)
        x = x if self.bridge is None else self.bridge(x)
        if self.decoder is not None:
            if self.sees == "visible":
                unknown = repeat(self.mask, "D -> rows M D", rows=rows, M=known.shape[1])
                x = torch.cat([x[:, :p], put(unknown.to(x), repeat_rows(visible, rows), x[:, p:])], 1)
            x = self.decoder(self.decoder.placed(x, self.buffer, p), there)
        x = x[:, p:] if self.out_places is None else x[:, p:] + self.out_places
        return take(x, repeat_rows(positions, rows))

    def _seen(self, canvas: Canvas, known: Bool[Tensor, "B M"], visible: Int[Tensor, "B v"]) -> Float[Tensor, "B m E"]:
        """The encoder's input from the canvas: visible positions, or all of them, with their places added."""
        places = self.encoder.places[self.buffer :]
        if self.sees == "visible":
            return self._content(canvas, visible) + places[visible]
        content = self._content(canvas, every_position(known.shape[0], known.shape[1:], known.device))
        return torch.where(known[..., None], content, self.mask.to(content)) + places

    def _content(self, canvas: Canvas, positions: Int[Tensor, "B n"]) -> Float[Tensor, "B n E"]:
        if self.table is not None:
            return self.table(take(canvas.codes[self.scale], positions))
        assert self.inp is not None, "vectors are read by it"
        return self.inp(take(canvas.vectors[self.scale], positions))

    def _prefix(self, condition: Condition) -> Float[Tensor, "rows P E"]:
        """The buffer, then the condition's tokens where it has any."""
        buffer = condition.pooled()[:, None] + self.encoder.places[: self.buffer]
        return buffer if condition.tokens is None else torch.cat([buffer, condition.tokens], 1)

    def _there(self, condition: Condition) -> Bool[Tensor, "rows 1 1 P"] | None:
        """Which tokens of the prefix are no padding; None if none is padding."""
        if condition.mask is None or condition.tokens is None:
            return None
        return rearrange(F.pad(condition.mask, (self.buffer, 0), value=True), "rows P -> rows 1 1 P")

    def _need_last(self, s: int) -> None:
        if s != self.scale:
            raise UserError(
                f"the backbone reads the last scale alone, and scale {s} is due; take order=sets, or a tokenizer of "
                "one scale"
            )

    def _initialise(self) -> None:
        """As in MAE: Xavier for maps, normal of standard deviation .02 for tables."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        stacks = (self.encoder, self.decoder)
        for table in chain((self.mask, self.out_places), (s.places for s in stacks if s is not None)):
            if table is not None:
                nn.init.normal_(table, std=0.02)


class _Stack(nn.Module):
    """Blocks with a table of places before and a norm after them."""

    def __init__(self, count: int, width: int, depth: int, heads: int, mlp_ratio: float, style: BlockStyle) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(count, width))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, "none", style=style) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(
        self, x: Float[Tensor, "rows n E"], there: Bool[Tensor, "rows 1 1 P"] | None
    ) -> Float[Tensor, "rows n E"]:
        """Every position sees every other; `there`: which of the first P are no padding."""
        if there is not None:
            there = F.pad(there, (0, x.shape[1] - there.shape[-1]), value=True)
        for block in self.blocks:
            x = block(x, bias=there)
        return self.norm(x)

    def placed(self, x: Float[Tensor, "rows n E"], buffer: int, prefix: int) -> Float[Tensor, "rows n E"]:
        """x plus the places of the buffer and of every position; the rest of the prefix has no places."""
        between = self.places.new_zeros(prefix - buffer, self.places.shape[1])
        return x + torch.cat([self.places[:buffer], between, self.places[buffer:]])


def _check(
    tokens: TokenSpec, width: int, heads: int, inner: int, inner_heads: int, depth: int, sees: str, reads: str
) -> None:
    if width % heads:
        raise UserError(f"heads: {heads} does not divide width {width}")
    if inner % inner_heads:
        raise UserError(f"encoder_heads: {inner_heads} does not divide encoder_width {inner}")
    if depth == 0 and sees == "visible":
        raise UserError("depth: 0: without a decoder the encoder must see unknown positions; use sees=all")
    if reads == "codes" and not tokens.vocab:
        raise UserError("reads: 'codes' needs a tokenizer with codes; use 'vectors'")
