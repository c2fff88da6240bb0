"""What every residual head promises, as functions of a fresh head and what it was built for.

`for law in RESIDUAL_LAWS: law(head, tokens, width)`. They key on the contract's flags, so that a new head passes them
without a change here. No law changes the head it is given.
"""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.solvers import DDPM, Euler, Solver
from hybridgen.heads.base import ResidualHead
from hybridgen.laws.measure import assert_near, reached_in_three_steps, stirred, unchanged
from hybridgen.nn.draws import Draws, keyed
from hybridgen.types import TokenSpec

_SOLVERS: tuple[Solver, ...] = (Euler(), DDPM())  # one of each kind
_STEPS, _ROWS = 3, 3
_ROUNDING = 3e-4  # float32 through a small network with values of order 1 to 10, in batches that round differently


def starts_at_zero(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """A fresh head predicts nothing yet: its loss does not depend on the hidden vectors, and is of order 1."""
    target, hidden = _inputs(tokens, width)
    many = target.repeat(40, 1, 1)  # the mean of enough to be within 30 %
    first = head.loss(many, hidden.repeat(40, 1, 1), tokens.grid, Draws("law"))
    other = head.loss(many, 9 * hidden.flip(1).repeat(40, 1, 1), tokens.grid, Draws("law"))
    assert first.shape == many.shape[:2]
    torch.testing.assert_close(first, other)
    assert 0.5 < first.median() < 3, first.median()


def positions_are_independent(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """The loss of one position depends on another's target and hidden vector if and only if the head is joint."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    before = head.loss(target, hidden, tokens.grid, Draws("law"))
    target[:, 1], hidden[:, 1] = 5.0, -5.0
    after = head.loss(target, hidden, tokens.grid, Draws("law"))
    others = [i for i in range(target.shape[1]) if i != 1]
    assert not torch.allclose(after[:, 1], before[:, 1])
    if head.joint:
        assert not torch.allclose(after[:, others], before[:, others])
    else:
        torch.testing.assert_close(after[:, others], before[:, others])


def rows_are_independent(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """A row's loss and draw depend on that row alone, also in a batch of 1; rows move with their noise."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    t, noise = torch.full(target.shape[:2], 0.5), torch.randn(target.shape, generator=keyed("noise"))
    whole = head.loss_at(target, hidden, tokens.grid, t, noise)
    alone = head.loss_at(target[:1], hidden[:1], tokens.grid, t[:1], noise[:1])
    torch.testing.assert_close(alone, whole[:1], rtol=_ROUNDING, atol=_ROUNDING)
    for solver in _SOLVERS:
        drawn = _draw(head, tokens, hidden, solver)
        start = _noise(head, tokens, solver)
        assert drawn.shape == target.shape
        for rows in ([1], [2, 0, 1]):
            some = head.draw(hidden[rows], tokens.grid, start[rows], solver, _STEPS)
            torch.testing.assert_close(some, drawn[rows], rtol=_ROUNDING, atol=_ROUNDING)


def hidden_a_step_is_hidden_a_position(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """One hidden vector a row means the same vector at every position."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    one, spread = hidden[:, :1], hidden[:, :1].expand_as(hidden)
    losses = [head.loss(target, h, tokens.grid, Draws("law")) for h in (one, spread)]
    torch.testing.assert_close(*losses, rtol=_ROUNDING, atol=_ROUNDING)
    draws = [_draw(head, tokens, h, Euler()) for h in (one, spread)]
    torch.testing.assert_close(*draws, rtol=_ROUNDING, atol=_ROUNDING)


def guidance_one_is_none(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Guidance 1 equals no guidance to the bit, and its network sees B rows where a guided one sees 2B."""
    head, (_, hidden) = stirred(head), _inputs(tokens, width)
    both = torch.cat([hidden, -hidden])
    for solver in _SOLVERS:
        with _rows_seen(head) as seen:
            plain = _draw(head, tokens, hidden, solver)
        assert max(seen) == _ROWS, seen
        with _rows_seen(head) as seen:
            assert torch.equal(_draw(head, tokens, both, solver, guidance=1.0), plain)
        assert max(seen) == _ROWS, seen
        assert not torch.allclose(_draw(head, tokens, both, solver, guidance=2.0), plain)


def equal_rows_need_no_guidance(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Where the null rows equal the conditional ones, guidance changes nothing."""
    head, (_, hidden) = stirred(head), _inputs(tokens, width)
    for solver in _SOLVERS:
        guided = _draw(head, tokens, hidden.repeat(2, 1, 1), solver, guidance=3.0)
        plain = _draw(head, tokens, hidden, solver)
        torch.testing.assert_close(guided, plain, rtol=_ROUNDING, atol=_ROUNDING)


def normaliser_goes_round(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Fitted to targets, a head's loss and draw follow a change of their units; units do not matter inside."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    if getattr(head, "normalise", "measured") != "measured":
        return
    one, other = copy.deepcopy(head), copy.deepcopy(head)
    gain, offset = torch.linspace(0.1, 5, tokens.channels), torch.linspace(-3, 3, tokens.channels)
    one.fit(target.flatten(0, 1))
    other.fit((gain * target + offset).flatten(0, 1))
    losses = [h.loss(y, hidden, tokens.grid, Draws("law")) for h, y in ((one, target), (other, gain * target + offset))]
    torch.testing.assert_close(*losses, rtol=1e-3, atol=1e-3)  # the offset costs digits
    drawn = [_draw(h, tokens, hidden, Euler()) for h in (one, other)]
    torch.testing.assert_close(gain * drawn[0] + offset, drawn[1], rtol=1e-3, atol=1e-3)


def gradients_reach_all(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Within three steps from the fresh head every parameter gets a gradient, and all of them are finite."""
    head, (target, hidden) = copy.deepcopy(head).train(), _inputs(tokens, width)
    reached_in_three_steps(head, lambda step: head.loss(target, hidden, tokens.grid, Draws("law", step)).mean())


def low_precision_is_near(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Under bf16 autocast loss and draw stay float32 and within 2 % of full precision (relative L2)."""
    head, (target, hidden) = stirred(head, 0.05), _inputs(tokens, width)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append((head.loss(target, hidden, tokens.grid, Draws("law")), _draw(head, tokens, hidden, Euler())))
    for full, low in zip(*results, strict=True):
        assert low.dtype == torch.float32
        assert_near(low, full, 0.02)


def residual_head_leaves_all_else_alone(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """No global generator is moved and no argument changed."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    with unchanged(target, hidden):
        first = head.loss(target, hidden, tokens.grid, Draws("law"))
        drawn = _draw(head, tokens, hidden, DDPM())
        assert torch.equal(first, head.loss(target, hidden, tokens.grid, Draws("law")))
        assert torch.equal(drawn, _draw(head, tokens, hidden, DDPM()))


RESIDUAL_LAWS: tuple[Callable[[ResidualHead, TokenSpec, int], None], ...] = (
    starts_at_zero, positions_are_independent, rows_are_independent, hidden_a_step_is_hidden_a_position,
    guidance_one_is_none, equal_rows_need_no_guidance, normaliser_goes_round, gradients_reach_all,
    low_precision_is_near, residual_head_leaves_all_else_alone,
)  # fmt: skip


def _inputs(tokens: TokenSpec, width: int) -> tuple[Float[Tensor, "B n C"], Float[Tensor, "B n D"]]:
    rng, n = keyed("inputs"), prod(tokens.grid)
    return torch.randn(_ROWS, n, tokens.channels, generator=rng), torch.randn(_ROWS, n, width, generator=rng)


def _noise(head: ResidualHead, tokens: TokenSpec, solver: Solver) -> Float[Tensor, "B m n C"]:
    shape = head.noise_shape(prod(tokens.grid), solver, _STEPS)
    return torch.randn(_ROWS, *shape, generator=keyed("draw"))


def _draw(head: ResidualHead, tokens: TokenSpec, hidden: Tensor, solver: Solver, guidance: float = 1.0) -> Tensor:
    with torch.no_grad():
        return head.draw(hidden, tokens.grid, _noise(head, tokens, solver), solver, _STEPS, guidance)


@contextmanager
def _rows_seen(head: nn.Module) -> Any:
    """Yields a list that fills with the batch sizes of whatever the head's parts are called with."""
    seen: list[int] = []
    hooks = [
        part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0])) for part in head.children()
    ]
    yield seen
    for hook in hooks:
        hook.remove()
