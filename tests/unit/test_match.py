"""Variants are resized to the base's budget within 2 %, or refused by name."""

import pytest
from tiny_run import TINY

from hybridgen.errors import UserError
from hybridgen.sweeps.block import Experiment
from hybridgen.sweeps.match import _bisected, budget, match

TINY_ONE = Experiment(str(TINY))
KEYS = ("model.residual_head.mlp_width", "model.backbone.width", "model.backbone.mlp_ratio")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["params", "macs"])
def test_codes_alone_at_equal_budget(kind):
    """Without a head the backbone grows, until it costs what both cost before."""
    variant = ["model.residual_head=null", "sampler.head_steps=0"]
    found = match(TINY_ONE, [], variant, KEYS, kind)
    assert abs(found.ratio - 1) <= 0.02
    assert any(text.startswith("model.backbone.width=") for text in found.overrides)
    assert not any("residual_head" in text for text in found.overrides)
    base = budget(TINY_ONE.compose(), kind)
    assert budget(TINY_ONE.compose([*variant, *found.overrides]), kind) / base == pytest.approx(found.ratio)
    assert budget(TINY_ONE.compose(variant), kind) / base < 0.9, "there was something to do"


def test_what_fits_is_left_alone():
    assert match(TINY_ONE, [], ["seed=1"], KEYS, "params").overrides == ()


@pytest.mark.slow
def test_what_cannot_be_matched_is_said():
    with pytest.raises(UserError, match=r"--match params: .*mlp_width=64.* of the base's budget at best") as caught:
        match(TINY_ONE, [], ["model.residual_head.mlp_width=64"], ("model.residual_head.depth",), "params")
    assert "ablate.resize" in str(caught.value)


@pytest.mark.parametrize(("size", "goal", "step"), [(16, 100, 4), (1, 1, 1), (500, 37, 1), (2.0, 3.3, 1 / 64)])
def test_the_nearest_size_is_found(size, goal, step):
    """Costs that grow with a size: the multiple of the step next to the goal."""
    asked = []

    def ratio(value):
        asked.append(value)
        return value / goal

    value, found = _bisected(ratio, size, step)
    assert abs(value - goal) <= step / 2 + 1e-9
    assert found == pytest.approx(value / goal)
    assert len(asked) < 25
