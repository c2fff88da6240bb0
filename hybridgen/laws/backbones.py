"""What every backbone promises: `for law in BACKBONE_LAWS: law(backbone, tokens)`, with a fresh backbone of `tokens`.

Each law runs in every order that the backbone serves: whole scales, the last one in sets, patches, single positions.
An order that it does not serve it must refuse with a `UserError`. No law changes the backbone it is given.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.backbones.base import Backbone
from hybridgen.laws.measure import assert_near, assert_same, reached_in_three_steps, unchanged
from hybridgen.laws.toy import ROWS, Story, condition, shaken, stories
from hybridgen.nn.draws import keyed
from hybridgen.system.errors import UserError
from hybridgen.types import Condition, TokenSpec

_TOKENS = 4  # of a condition that has any
_SAME, _OTHER = 1e-6, 1e-4  # what counts as unchanged, and as changed
_AGREE = 1e-4  # one pass and many, float32


def served(backbone: Backbone, tokens: TokenSpec) -> list[Story]:
    """The stories whose order the backbone serves."""
    found = []
    for told in stories(tokens):
        try:
            _hidden(backbone, told, condition(backbone.condition_width))
        except UserError:
            continue
        found.append(told)
    return found


def generation_is_teacher_forcing(backbone: Backbone, tokens: TokenSpec) -> None:
    """Step by step from the canvas as it was, and in one pass over the finished one: the same hidden vectors."""
    backbone = shaken(backbone)
    for told in _all_served(backbone, tokens):
        for given in _conditions(backbone.condition_width):
            state, drawn = backbone.begin(given), []
            for planned, step in enumerate(told.steps):
                canvas = told.canvas(planned)
                drawn.append(backbone.advance(state, canvas, told.view(canvas, step.scale), step))
            assert_same(_in_one_pass(backbone, told, given), torch.cat(drawn, 1), _AGREE)


def steps_see_only_the_past(backbone: Backbone, tokens: TokenSpec) -> None:
    """What a step draws changes no hidden vector of it or of earlier steps; and, in whole scales or patches, it
    changes some of a later one. A backbone without parameters has nothing to read with, and is let off the second."""
    backbone, reads = shaken(backbone), any(True for _ in backbone.parameters())
    for told in _all_served(backbone, tokens):
        given = condition(backbone.condition_width)
        for planned in range(len(told.steps)):
            other = told.changed(planned)
            first = planned if backbone.revisits else 0
            before, after = (_hidden(backbone, t, given, first) for t in (told, other))
            end = _columns(backbone, told, first, planned + 1)
            assert_same(after[:, :end], before[:, :end], _SAME)
            if reads and told.sets == 1 and planned + 1 < len(told.steps):
                later = [_hidden(backbone, t, given, planned + 1) for t in (told, other)] if backbone.revisits else None
                before, after = later or (before[:, end:], after[:, end:])
                assert (after - before).abs().max() > _OTHER, f"no later step reads what step {planned} drew"


def rows_are_independent(backbone: Backbone, tokens: TokenSpec) -> None:
    """Null rows beside them, or a batch of other rows, change no row."""
    backbone = shaken(backbone)
    for told in _all_served(backbone, tokens):
        given = condition(backbone.condition_width, tokens=_TOKENS)
        alone = _hidden(backbone, told, replace(given, null=None))
        guided = _hidden(backbone, told, given.guided())
        assert guided.shape[0] == 2 * ROWS
        assert_same(guided[:ROWS], alone, 1e-5)
        moved = replace(given, vector=_but_first(given.vector), tokens=_but_first(given.tokens))
        assert_same(_hidden(backbone, told, moved)[:1], alone[:1], 1e-5)


def condition_is_read(backbone: Backbone, tokens: TokenSpec) -> None:
    """Another condition gives other hidden vectors, in every step; tokens that are not there change nothing."""
    backbone = shaken(backbone)
    told = _all_served(backbone, tokens)[0]
    given, other = (condition(backbone.condition_width, tokens=_TOKENS, key=key) for key in (0, 1))
    before = _hidden(backbone, told, given)
    assert ((_hidden(backbone, told, other) - before).abs().amax((0, 2)) > _OTHER).all()
    assert given.tokens is not None, "asked for above"
    assert given.mask is not None, "asked for above"
    padding = replace(given, tokens=torch.where(given.mask[..., None], given.tokens, 7.0))
    assert_same(_hidden(backbone, told, padding), before, 1e-5)


def gradients_reach_all(backbone: Backbone, tokens: TokenSpec) -> None:
    """Within three steps from the fresh backbone every trainable parameter gets a gradient, all of them finite."""
    backbone, given = copy.deepcopy(backbone).train(), condition(backbone.condition_width, tokens=_TOKENS)
    told = _all_served(backbone, tokens)

    def loss() -> Tensor:
        total = torch.zeros(())
        for each in told:
            first = len(each.steps) // 2 if backbone.revisits else 0  # where all is due, nothing is known
            hidden = _hidden(backbone, each, given, first)
            total = total + (hidden - torch.randn(hidden.shape, generator=keyed("target"))).square().mean()
        return total + _embedded(backbone, told[0]).square().mean()

    if any(True for _ in backbone.parameters()):
        reached_in_three_steps(backbone, lambda step: loss())


def low_precision_is_near(backbone: Backbone, tokens: TokenSpec) -> None:
    """Under bf16 autocast hidden vectors stay within 2 % of full precision (relative L2)."""
    backbone = shaken(backbone, 0.05)
    for told in _all_served(backbone, tokens):
        full = _hidden(backbone, told, condition(backbone.condition_width))
        with torch.autocast("cpu", torch.bfloat16):
            low = _hidden(backbone, told, condition(backbone.condition_width))
        assert_near(low.float(), full, 0.02)


def backbone_leaves_all_else_alone(backbone: Backbone, tokens: TokenSpec) -> None:
    """No global generator is moved, nor canvas, view, step or condition changed; the same input gives the same bits."""
    backbone = shaken(backbone)
    for told in _all_served(backbone, tokens):
        given, finished, views, due = (
            condition(backbone.condition_width, tokens=_TOKENS),
            told.canvas(),
            told.views(),
            told.due(),
        )
        step, before = told.steps[0], told.canvas(0)
        with unchanged(given, finished, views, due, step, before), torch.no_grad():
            first = backbone(finished, views, due, given)
            assert torch.equal(backbone(finished, views, due, given), first)
            one, two = (backbone.advance(backbone.begin(given), before, views[step.scale], step) for _ in range(2))
            assert torch.equal(one, two)


BACKBONE_LAWS: tuple[Callable[[Backbone, TokenSpec], None], ...] = (
    generation_is_teacher_forcing, steps_see_only_the_past, rows_are_independent, condition_is_read,
    gradients_reach_all, low_precision_is_near, backbone_leaves_all_else_alone,
)  # fmt: skip


def _all_served(backbone: Backbone, tokens: TokenSpec) -> list[Story]:
    found = served(backbone, tokens)
    assert found, f"no order of {tokens} is served"
    return found


def _hidden(backbone: Backbone, told: Story, given: Condition, first: int = 0) -> Float[Tensor, "rows N D"]:
    """One pass over the finished canvas in which the steps from `first` on are due."""
    with torch.set_grad_enabled(backbone.training):
        return backbone(told.canvas(), told.views(), told.due(first), given)


def _in_one_pass(backbone: Backbone, told: Story, given: Condition) -> Float[Tensor, "rows N D"]:
    """Teacher forced; a backbone that feeds positions again does so at each step, from the canvas as it was."""
    if not backbone.revisits:
        return _hidden(backbone, told, given)
    views, passes = told.views(), []
    with torch.no_grad():
        for planned in range(len(told.steps)):
            due = replace(told, steps=told.steps[planned : planned + 1]).due()
            passes.append(backbone(told.canvas(planned), views, due, given))
    return torch.cat(passes, 1)


def _columns(backbone: Backbone, told: Story, first: int, end: int) -> int:
    """Columns that the steps from `first` to before `end` fill."""
    return end - first if backbone.per_step else sum(told.due().sizes[first:end])


def _conditions(width: int) -> list[Condition]:
    """Vectors alone, and guided rows with tokens."""
    return [condition(width), condition(width, tokens=_TOKENS).guided()]


def _but_first(x: Tensor | None) -> Tensor | None:
    """Other numbers in all rows but the first."""
    return None if x is None else torch.cat([x[:1], 3 - x[1:]])


def _embedded(backbone: Backbone, told: Story) -> Tensor:
    """Vectors as the backbone embeds them, unless it refuses to."""
    try:
        return backbone.embed(told.vectors[0])
    except UserError:
        return torch.zeros(1)
