"""What every order promises: `for law in ORDER_LAWS: law(order, tokens)`, with an order built for `tokens`."""

from collections.abc import Callable
from itertools import pairwise
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.laws.measure import unchanged
from hybridgen.laws.toy import ROWS
from hybridgen.nn.draws import Draws, keyed
from hybridgen.nn.positions import every_position
from hybridgen.orders.base import Order
from hybridgen.tokenizers.canvas import blank_canvas, note
from hybridgen.types import Canvas, Step, StepLayout, TokenSpec

_SETS = (1, 2, 3, 10**6)


def training_visits_positions_once(order: Order, tokens: TokenSpec) -> None:
    """No position is due twice; all of every scale but the last are due; scales come coarse to fine."""
    for key in range(5):
        due = order.training(ROWS, Draws("law", key))
        assert due.positions.shape == (ROWS, sum(due.sizes))
        assert due.sizes == tuple(map(prod, due.grids)), "a grid holds its step's positions"
        assert _rises(due.scales) == list(order.scales)
        for s, cut in due.spans():
            for row in due.positions[:, cut].tolist():
                assert len(set(row)) == len(row) > 0
                assert s == order.scales[-1] or sorted(row) == list(range(prod(tokens.scales[s])))
                assert set(row) <= set(range(prod(tokens.scales[s])))


def training_is_the_plan_in_one_set(order: Order, tokens: TokenSpec) -> None:
    """Where nothing is left out, training walks the steps that sampling takes in one set, in their order."""
    due, steps = order.training(ROWS, Draws("law")), _walk(order, tokens, 1)
    if sum(due.sizes) == sum(step.positions.shape[1] for step in steps):
        assert due.scales == tuple(step.scale for step in steps)
        assert due.grids == tuple(step.grid for step in steps)
        for (trained, _), drawn in zip(due.columns(), steps, strict=True):
            assert torch.equal(trained.positions, drawn.positions)


def plan_draws_everything_once(order: Order, tokens: TokenSpec) -> None:
    """Whatever the number of sets: every step draws something, every position is drawn once, coarse to fine."""
    counts = []
    for sets in _SETS:
        steps = _walk(order, tokens, sets)
        counts.append(len(steps))
        assert _rises([step.scale for step in steps]) == list(order.scales)
        for step in steps:
            assert prod(step.grid) == step.positions.shape[1] > 0
        for s in order.scales:
            drawn = torch.cat([step.positions for step in steps if step.scale == s], 1)
            assert torch.equal(drawn.sort(1).values, every_position(ROWS, tokens.scales[s]))
    assert all(fewer <= more for fewer, more in pairwise(counts)), "more sets take no fewer steps"


def confidence_offers_all_that_is_unknown(order: Order, tokens: TokenSpec) -> None:
    """By confidence a step of several offers every position of its group that was not kept, and keeps its count."""
    for sets in _SETS:
        canvas, shuffle = _blank(tokens), _shuffle(tokens)
        for planned in order.plan(sets):
            step = order.step(planned, shuffle, canvas, True)
            kept = step.positions
            if planned.of > 1:
                assert step.keep == planned.count
                assert not canvas.known[step.scale].gather(1, step.positions).any()
                surest = torch.rand(step.positions.shape, generator=keyed("surest", planned)).argsort(1)
                kept = step.positions.gather(1, surest[:, : step.keep])
            canvas = _noted(canvas, Step(step.scale, kept, (kept.shape[1],)))
        assert all(canvas.known[s].all() for s in order.scales)


def rows_follow_their_own_shuffle(order: Order, tokens: TokenSpec) -> None:
    """A row's sets depend on that row of the shuffle alone; other rows, or none, beside it change nothing."""
    shuffle, canvas, one = _shuffle(tokens), _blank(tokens), _blank(tokens, 1)
    seen = []
    for planned in order.plan(3):
        positions = order.step(planned, shuffle, canvas, False).positions
        assert torch.equal(order.step(planned, shuffle[1:2], one, False).positions, positions[1:2])
        seen.append(positions)
    if any(planned.of > 1 for planned in order.plan(3)):
        assert any(not torch.equal(p[0], p[1]) for p in seen), "rows are shuffled alike"


def ranks_share_the_work(order: Order, tokens: TokenSpec) -> None:
    """Two processes draw what one would, each its own rows."""
    whole = order.training(2 * ROWS, Draws("law"))
    for rank in range(2):
        part = order.training(ROWS, Draws("law", rank=rank, world=2))
        assert (part.sizes, part.scales, part.grids) == (whole.sizes, whole.scales, whole.grids)
        assert torch.equal(part.positions, whole.positions[rank * ROWS : (rank + 1) * ROWS])


def order_leaves_all_else_alone(order: Order, tokens: TokenSpec) -> None:
    """No global generator is moved and no canvas changed; the same key gives the same steps."""
    canvas, shuffle = _blank(tokens), _shuffle(tokens)
    with unchanged(canvas, shuffle):
        first, second = (order.training(ROWS, Draws("law")) for _ in range(2))
        assert _same(first, second)
        for planned in order.plan(2):
            for by_confidence in (False, True):
                order.step(planned, shuffle, canvas, by_confidence)


ORDER_LAWS: tuple[Callable[[Order, TokenSpec], None], ...] = (
    training_visits_positions_once, training_is_the_plan_in_one_set, plan_draws_everything_once,
    confidence_offers_all_that_is_unknown, rows_follow_their_own_shuffle, ranks_share_the_work,
    order_leaves_all_else_alone,
)  # fmt: skip


def _walk(order: Order, tokens: TokenSpec, sets: int) -> list[Step]:
    """All steps of a plan, each from the canvas that those before it left."""
    canvas, shuffle, steps = _blank(tokens), _shuffle(tokens), []
    for planned in order.plan(sets):
        steps.append(order.step(planned, shuffle, canvas, False))
        canvas = _noted(canvas, steps[-1])
    return steps


def _blank(tokens: TokenSpec, rows: int = ROWS) -> Canvas:
    return blank_canvas(tokens, torch.zeros(rows, tokens.channels, *tokens.grid))


def _noted(canvas: Canvas, step: Step) -> Canvas:
    vectors = torch.zeros(*step.positions.shape, canvas.latent.shape[1])
    return note(canvas, step, torch.zeros_like(step.positions), vectors)


def _shuffle(tokens: TokenSpec) -> Float[Tensor, "B n"]:
    return torch.rand(ROWS, prod(tokens.scales[-1]), generator=keyed("shuffle"))


def _rises(scales: tuple[int, ...] | list[int]) -> list[int]:
    """Scales in the order of their first step; they may not come back."""
    assert list(scales) == sorted(scales), "coarse to fine"
    return list(dict.fromkeys(scales))


def _same(a: StepLayout, b: StepLayout) -> bool:
    return torch.equal(a.positions, b.positions) and (a.sizes, a.scales, a.grids) == (b.sizes, b.scales, b.grids)
