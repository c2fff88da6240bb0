"""Stand-ins for a part's neighbours, so that the laws of one slot need no part of another.

A story holds what each step drew, without a tokenizer: vectors are painted by adding up enlarged scales.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from types import MappingProxyType
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.draws import keyed
from hybridgen.nn.positions import to_grid, to_sequence
from hybridgen.nn.resize import enlarge, shrink
from hybridgen.orders.order import SetOrder
from hybridgen.tokenizers.canvas import blank_canvas, note
from hybridgen.types import Canvas, Condition, DataSpec, Grid, Step, StepLayout, TokenSpec

Module = TypeVar("Module", bound=nn.Module)

ROWS, CHANNELS, VOCAB, CLASSES = 3, 3, 11, 3
_SIDES: Mapping[int, Grid] = MappingProxyType({1: (6,), 2: (3, 6), 3: (2, 3, 4)})
_SMALLER = {1: ((1,), (2,), (5,)), 2: ((1, 1), (2, 3)), 3: ((1, 1, 1), (1, 2, 3))}
_EVEN: Mapping[int, Grid] = MappingProxyType({1: (8,), 2: (4, 4), 3: (2, 2, 4)})
_UNEVEN: Mapping[int, Grid] = MappingProxyType({1: (20,), 2: (6, 10), 3: (4, 6, 10)})


def pyramid(dims: int) -> TokenSpec:
    """Several scales of codes; no two sides of the finest are equal, and not all are powers of two."""
    return TokenSpec(_SIDES[dims], CHANNELS, (*_SMALLER[dims], _SIDES[dims]), VOCAB)


def plain(dims: int, even: bool = False) -> TokenSpec:
    """One scale of codes, the finest of `pyramid`; or one of even sides, for parts that take patches of it."""
    grid = (_EVEN if even else _SIDES)[dims]
    return TokenSpec(grid, CHANNELS, (grid,), VOCAB)


def data(dims: int, uneven: bool = False) -> DataSpec:
    """What a data set of that many dimensions offers: a cube of side 8, or sides that differ and are no powers of two.

    Uneven sides halve once, to (10,), (3, 5) or (2, 3, 5).
    """
    size = _UNEVEN[dims] if uneven else (8,) * dims
    return DataSpec(2, size, tuple(f"class {i}" for i in range(CLASSES)))


def examples(spec: DataSpec, rows: int = ROWS) -> Float[Tensor, "B X *size"]:
    """Smooth noise in [-1, 1]: like data, it has more power at coarse scales."""
    rough = torch.randn(rows, spec.channels, *spec.size, generator=keyed("examples"))
    half: Grid = tuple(max(1, side // 2) for side in spec.size)
    return (0.3 * rough + enlarge(shrink(rough, half), spec.size)).tanh()


def condition(width: int, rows: int = ROWS, tokens: int = 0, key: object = 0) -> Condition:
    """Vectors of unit standard deviation, and `tokens` tokens per row; all rows but the first lack the last of them."""
    rng = keyed("condition", key)
    given = Condition(vector=torch.randn(rows, width, generator=rng))
    null = Condition(vector=torch.randn(1, width, generator=rng))
    for part in (given, null) if tokens else ():
        assert part.vector is not None, "made above"
        part.tokens = torch.randn(len(part.vector), tokens, width, generator=rng)
        part.mask = (torch.arange(tokens) < tokens - 1).expand(len(part.vector), -1).clone()
        part.mask[0] = True
    return replace(given, null=null)


def shaken(module: Module, deviation: float = 0.2) -> Module:
    """A copy away from its start, where zeros make many laws trivial; frozen parameters stay as they are."""
    module, rng = copy.deepcopy(module).eval(), keyed("shaken")
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                inputs = parameter[0].numel() if parameter.dim() > 1 else 1
                gain = deviation * min(1.0, 4 * inputs**-0.5)  # wide layers keep values of order 1
                parameter.add_(gain * torch.randn(parameter.shape, generator=rng))
    return module


@dataclass(frozen=True)
class Story:
    """What each of some steps drew."""

    tokens: TokenSpec
    sets: int  # in which the last scale was drawn
    steps: tuple[Step, ...]
    codes: tuple[Tensor, ...]
    vectors: tuple[Tensor, ...]

    def canvas(self, steps: int | None = None) -> Canvas:
        """The canvas after the first `steps` steps, or after all."""
        empty = torch.zeros(ROWS, self.tokens.channels, *self.tokens.grid)
        canvas = blank_canvas(self.tokens, empty)
        for step, codes, vectors in list(zip(self.steps, self.codes, self.vectors, strict=True))[:steps]:
            canvas = note(canvas, step, codes, vectors)
            canvas = canvas.with_(latent=self._map(canvas, step.scale + 1))
        return canvas

    def view(self, canvas: Canvas, s: int) -> Float[Tensor, "B n_s C"]:
        """What scales coarser than s painted, at the positions of scale s."""
        return to_sequence(shrink(self._map(canvas, s), self.tokens.scales[s]))

    def views(self) -> dict[int, Tensor]:
        """The view of each scale, once everything is drawn."""
        finished = self.canvas()
        return {s: self.view(finished, s) for s in range(len(self.tokens.scales))}

    def due(self, first: int = 0) -> StepLayout:
        """All steps from `first` on."""
        steps = self.steps[first:]
        positions = torch.cat([step.positions for step in steps], 1)
        sizes = tuple(step.positions.shape[1] for step in steps)
        return StepLayout(positions, sizes, tuple(step.scale for step in steps), tuple(step.grid for step in steps))

    def changed(self, planned: int) -> "Story":
        """The same story with other codes and vectors in the step of that index."""
        codes, vectors = [*self.codes], [*self.vectors]
        codes[planned] = (codes[planned] + 1) % max(1, self.tokens.vocab)
        vectors[planned] = vectors[planned] + torch.randn(vectors[planned].shape, generator=keyed("changed", planned))
        return replace(self, codes=tuple(codes), vectors=tuple(vectors))

    def _map(self, canvas: Canvas, scales: int) -> Float[Tensor, "B C *grid"]:
        """The sum of the first so many scales."""
        parts = [
            enlarge(to_grid(canvas.vectors[s], grid), self.tokens.grid)
            for s, grid in enumerate(self.tokens.scales[:scales])
        ]
        return torch.stack([torch.zeros_like(canvas.latent), *parts]).sum(0)


def story(order: SetOrder, tokens: TokenSpec, sets: int) -> Story:
    """Random codes and vectors, drawn in the steps of an order."""
    rng = keyed("story", sets)
    shuffle = torch.rand(ROWS, prod(tokens.scales[-1]), generator=rng)
    empty = blank_canvas(tokens, torch.zeros(ROWS, tokens.channels, *tokens.grid))
    steps = [order.step(planned, shuffle, empty, False) for planned in order.plan(sets)]
    codes = [torch.randint(max(1, tokens.vocab), step.positions.shape, generator=rng) for step in steps]
    vectors = [torch.randn(*step.positions.shape, tokens.channels, generator=rng) for step in steps]
    return Story(tokens, sets, tuple(steps), tuple(codes), tuple(vectors))


def stories(tokens: TokenSpec) -> list[Story]:
    """Whole scales, and the last one in sets; where there is one scale, also position by position and row by row."""
    whole = SetOrder(tokens)
    told = [story(whole, tokens, sets) for sets in (1, 3)]
    if len(tokens.scales) == 1:
        row = (*(1 for _ in tokens.grid[1:]), tokens.grid[-1] // 2)
        told += [story(SetOrder(tokens, patch=patch), tokens, 1) for patch in (row, (1,) * len(row))]
    return told
