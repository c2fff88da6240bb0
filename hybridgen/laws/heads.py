"""What every head promises, as functions of a fresh head and what it was built for.

`for law in RESIDUAL_LAWS: law(head, tokens, width)`, and `CODE_LAWS` likewise. They key on the contract's flags, so
that a new head passes them without a change here. No law changes the head it is given.
"""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.diffusion.solvers import DDPM, Euler, Solver
from hybridgen.heads.base import CodeHead, ResidualHead
from hybridgen.nn.draws import Draws, keyed
from hybridgen.types import Condition, TokenSpec

Head = TypeVar("Head", bound=nn.Module)
_SOLVERS: tuple[Solver, ...] = (Euler(), DDPM())  # one of each kind
_STEPS, _ROWS = 3, 3
_ROUNDING = 1e-4  # float32 through a small network with values of order 1 to 10


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
    _train_thrice(head, lambda step: head.loss(target, hidden, tokens.grid, Draws("law", step)).mean())


def low_precision_is_near(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """Under bf16 autocast loss and draw stay float32 and within 2 % of full precision (relative L2)."""
    head, (target, hidden) = stirred(head, 0.05), _inputs(tokens, width)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append((head.loss(target, hidden, tokens.grid, Draws("law")), _draw(head, tokens, hidden, Euler())))
    for full, low in zip(*results, strict=True):
        assert low.dtype == torch.float32
        _assert_near(low, full, 0.02)


def residual_head_leaves_all_else_alone(head: ResidualHead, tokens: TokenSpec, width: int) -> None:
    """No global generator is moved and no argument changed."""
    head, (target, hidden) = stirred(head), _inputs(tokens, width)
    kept, state = (target.clone(), hidden.clone()), torch.get_rng_state()
    first = head.loss(target, hidden, tokens.grid, Draws("law"))
    drawn = _draw(head, tokens, hidden, DDPM())
    assert torch.equal(first, head.loss(target, hidden, tokens.grid, Draws("law")))
    assert torch.equal(drawn, _draw(head, tokens, hidden, DDPM()))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(target, kept[0])
    assert torch.equal(hidden, kept[1])


RESIDUAL_LAWS: tuple[Callable[[ResidualHead, TokenSpec, int], None], ...] = (
    starts_at_zero, positions_are_independent, rows_are_independent, hidden_a_step_is_hidden_a_position,
    guidance_one_is_none, equal_rows_need_no_guidance, normaliser_goes_round, gradients_reach_all,
    low_precision_is_near, residual_head_leaves_all_else_alone,
)  # fmt: skip


def first_loss_is_uniform(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """A fresh head's cross-entropy is near that of a uniform law: ln V nats."""
    hidden, condition, codes = _code_inputs(tokens, width)
    loss = head.loss(head.logits(hidden, condition), codes)
    assert loss.shape == codes.shape
    expected = torch.tensor(float(tokens.vocab)).log()
    assert (loss.mean() - expected).abs() < 0.1, (loss.mean(), expected)


def probabilities_sum_to_one(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """Over the whole vocabulary; and the loss is minus the log-probability."""
    logits, _ = _logits(head, tokens, width)
    every = torch.arange(tokens.vocab).expand(logits.shape[0], -1)
    for i in range(logits.shape[1]):
        column = logits[:, i : i + 1].expand(-1, tokens.vocab, -1)
        log_prob = head.log_prob(column, every)
        torch.testing.assert_close(log_prob.exp().sum(1), torch.ones(logits.shape[0]), rtol=0, atol=1e-5)
        torch.testing.assert_close(head.loss(column, every), -log_prob)


def truth_is_the_best_guess(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """For codes from the head's own law no other logits have a lower expected loss."""
    logits, _ = _logits(head, tokens, width)
    column, every = logits[:1, :1].expand(-1, tokens.vocab, -1), torch.arange(tokens.vocab)[None]
    weight = head.log_prob(column, every).exp()

    def expected(shift: Tensor | float) -> Tensor:
        return (weight * head.loss(column + shift, every)).sum()

    best = expected(0.0)
    for k in range(20):
        shift = 0.3 * torch.randn(logits.shape[-1], generator=keyed("perturbed", k))
        assert best < expected(shift), k


def draws_follow_the_law(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """Evenly spread uniform numbers give each code its share; temperature 0 gives the likeliest."""
    if head.uniforms != 1:
        return
    logits, _ = _logits(head, tokens, width)
    column, every, marks = logits[:1, :1], torch.arange(tokens.vocab)[None], 4000
    share = head.log_prob(column.expand(-1, tokens.vocab, -1), every).exp()[0]
    uniform = ((torch.arange(marks) + 0.5) / marks)[None, :, None]
    codes = head.draw(column.expand(-1, marks, -1), uniform)
    counted = torch.bincount(codes[0], minlength=tokens.vocab) / marks
    torch.testing.assert_close(counted, share, rtol=0, atol=1.5 / marks)
    assert codes[0].diff().min() >= 0, "in vocabulary order"
    assert head.draw(column, uniform[:, :1], temperature=0.0).item() == share.argmax()
    assert set(head.draw(column.expand(-1, marks, -1), uniform, top_k=2)[0].tolist()) == set(
        share.topk(2).indices.tolist()
    )


def code_head_leaves_all_else_alone(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """Rows are independent; no global generator is moved and no argument changed."""
    state = torch.get_rng_state()
    logits, alone = _logits(head, tokens, width)
    kept, uniform = logits.clone(), torch.rand(*logits.shape[:2], head.uniforms, generator=keyed("uniform"))
    codes = head.draw(logits, uniform, top_k=3, top_p=0.9)
    torch.testing.assert_close(alone, logits[:1], rtol=_ROUNDING, atol=_ROUNDING)
    assert torch.equal(head.draw(logits[:1], uniform[:1], top_k=3, top_p=0.9), codes[:1])
    assert codes.dtype == torch.int64
    assert 0 <= codes.min() <= codes.max() < tokens.vocab
    assert torch.equal(logits, kept)
    assert torch.equal(state, torch.get_rng_state())


def code_gradients_reach_all(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """Within three steps from the fresh head every parameter gets a gradient, and all of them are finite."""
    head, (hidden, condition, codes) = copy.deepcopy(head).train(), _code_inputs(tokens, width)
    _train_thrice(head, lambda step: head.loss(head.logits(hidden, condition), codes).mean())


CODE_LAWS: tuple[Callable[[CodeHead, TokenSpec, int], None], ...] = (
    first_loss_is_uniform, probabilities_sum_to_one, truth_is_the_best_guess, draws_follow_the_law,
    code_head_leaves_all_else_alone, code_gradients_reach_all,
)  # fmt: skip


def draws_known_moments(
    head: ResidualHead, tokens: TokenSpec, width: int, solver: Solver, solver_steps: int, training_steps: int = 1500
) -> None:
    """Slow: trained on three classes of normal vectors, a head draws their means to .15 and deviations to 12 %.

    Of each class, in units of its deviation and relative to it; methods of the field reach .1 and 8 % with more.
    """
    means = 2 * torch.randn(3, tokens.channels, generator=keyed("means"))
    deviations = 0.5 + torch.rand(3, tokens.channels, generator=keyed("deviations"))
    told = torch.randn(3, width, generator=keyed("told"))

    def batch(rows: int, key: object) -> tuple[Tensor, Tensor]:
        """Targets (rows, n, C) and their classes (rows, n)."""
        rng = Draws("toy", key)
        kind = (3 * rng.uniform(rows, prod(tokens.grid))).long()
        return means[kind] + deviations[kind] * rng.normal(*kind.shape, tokens.channels), kind

    head = copy.deepcopy(head).train()
    head.fit(batch(500, "fit")[0].flatten(0, 1))
    _train_on(head, tokens, batch, told, training_steps)
    kind = batch(6000 // prod(tokens.grid), "drawn")[1]
    noise = torch.randn(kind.shape[0], *head.noise_shape(kind.shape[1], solver, solver_steps), generator=keyed("start"))
    with torch.no_grad():
        drawn = head.eval().draw(told[kind], tokens.grid, noise, solver, solver_steps)
    for k in range(3):
        std, mean = torch.std_mean(drawn[kind == k], 0)
        assert ((mean - means[k]) / deviations[k]).abs().max() < 0.15, (k, mean, means[k])
        assert (std / deviations[k] - 1).abs().max() < 0.12, (k, std, deviations[k])


def _train_on(
    head: ResidualHead,
    tokens: TokenSpec,
    batch: Callable[[int, object], tuple[Tensor, Tensor]],
    told: Tensor,
    steps: int,
) -> None:
    """AdamW on about 512 vectors a step, the rate falling along a cosine."""
    optimiser = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        target, kind = batch(512 // prod(tokens.grid), step)
        optimiser.zero_grad()
        head.loss(target, told[kind], tokens.grid, Draws("loss", step)).mean().backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def stirred(head: Head, deviation: float = 0.1) -> Head:
    """A copy with random parameters, away from the zero start where many laws are trivial."""
    head, rng = copy.deepcopy(head).eval(), keyed("stirred")
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=deviation, generator=rng)
    return head


def _inputs(tokens: TokenSpec, width: int) -> tuple[Float[Tensor, "B n C"], Float[Tensor, "B n D"]]:
    rng, n = keyed("inputs"), prod(tokens.grid)
    return torch.randn(_ROWS, n, tokens.channels, generator=rng), torch.randn(_ROWS, n, width, generator=rng)


def _noise(head: ResidualHead, tokens: TokenSpec, solver: Solver) -> Float[Tensor, "B m n C"]:
    shape = head.noise_shape(prod(tokens.grid), solver, _STEPS)
    return torch.randn(_ROWS, *shape, generator=keyed("draw"))


def _draw(head: ResidualHead, tokens: TokenSpec, hidden: Tensor, solver: Solver, guidance: float = 1.0) -> Tensor:
    with torch.no_grad():
        return head.draw(hidden, tokens.grid, _noise(head, tokens, solver), solver, _STEPS, guidance)


def _code_inputs(tokens: TokenSpec, width: int) -> tuple[Tensor, Condition, Tensor]:
    rng, n = keyed("inputs"), prod(tokens.grid)
    hidden = torch.randn(_ROWS, n, width, generator=rng)
    codes = torch.randint(tokens.vocab, (_ROWS, n), generator=rng)
    return hidden, Condition(vector=torch.randn(_ROWS, width, generator=rng)), codes


def _logits(head: CodeHead, tokens: TokenSpec, width: int) -> tuple[Tensor, Tensor]:
    """Logits of a stirred head for all rows, and for the first alone."""
    head, (hidden, condition, _) = stirred(head, 0.3), _code_inputs(tokens, width)
    assert condition.vector is not None
    with torch.no_grad():
        return head.logits(hidden, condition), head.logits(hidden[:1], Condition(vector=condition.vector[:1]))


def _train_thrice(head: nn.Module, loss: Callable[[int], Tensor]) -> None:
    optimiser, reached = torch.optim.Adam(head.parameters(), lr=1e-2), set()
    for step in range(3):
        optimiser.zero_grad()
        loss(step).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name
            if parameter.grad is not None and parameter.grad.any():
                reached.add(name)
        optimiser.step()
    missed = {name for name, parameter in head.named_parameters() if parameter.requires_grad} - reached
    assert not missed, missed


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


def _assert_near(given: Tensor, expected: Tensor, share: float) -> None:
    off = ((given - expected).norm() / expected.norm()).item()
    assert off < share, off
