"""What every code head promises, as functions of a fresh head and what it was built for.

`for law in CODE_LAWS: law(head, tokens, width)`. No law changes the head it is given.
"""

import copy
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from hybridgen.heads.base import CodeHead
from hybridgen.laws.measure import reached_in_three_steps, stirred, unchanged
from hybridgen.nn.draws import keyed
from hybridgen.types import Condition, TokenSpec

_ROWS = 3
_ROUNDING = 1e-4  # float32 through a small network with values of order 1 to 10


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
    with unchanged():
        logits, alone = _logits(head, tokens, width)
    torch.testing.assert_close(alone, logits[:1], rtol=_ROUNDING, atol=_ROUNDING)
    uniform = torch.rand(*logits.shape[:2], head.uniforms, generator=keyed("uniform"))
    with unchanged(logits, uniform):
        codes = head.draw(logits, uniform, top_k=3, top_p=0.9)
        assert torch.equal(head.draw(logits[:1], uniform[:1], top_k=3, top_p=0.9), codes[:1])
    assert codes.dtype == torch.int64
    assert 0 <= codes.min() <= codes.max() < tokens.vocab


def code_gradients_reach_all(head: CodeHead, tokens: TokenSpec, width: int) -> None:
    """Within three steps from the fresh head every parameter gets a gradient, and all of them are finite."""
    head, (hidden, condition, codes) = copy.deepcopy(head).train(), _code_inputs(tokens, width)
    reached_in_three_steps(head, lambda step: head.loss(head.logits(hidden, condition), codes).mean())


CODE_LAWS: tuple[Callable[[CodeHead, TokenSpec, int], None], ...] = (
    first_loss_is_uniform, probabilities_sum_to_one, truth_is_the_best_guess, draws_follow_the_law,
    code_head_leaves_all_else_alone, code_gradients_reach_all,
)  # fmt: skip


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
