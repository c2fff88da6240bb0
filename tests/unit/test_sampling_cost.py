"""What drawing a sample costs, counted on shapes alone: against the counter of torch, and against numbers by hand."""

import json
from pathlib import Path

import pytest

from hybridgen.cli import main
from hybridgen.config.compose import compose
from hybridgen.evaluation.sampling_cost import sampling_cost

TINY = Path(__file__).parents[1] / "tiny.yaml"
REGRESSION = "{card: regression, mlp_width: 8, depth: 1}"


def test_steps_and_evaluations():
    """Three scales, a residual of two steps at the last; a second row doubles everything but the tokenizer."""
    found = sampling_cost(compose(str(TINY)))
    assert found.steps == 3
    assert found.evaluations == 2
    assert found.macs["total"] == sum(count for part, count in found.macs.items() if part != "total")
    for part, count in found.macs.items():
        if part != "total":
            assert found.guided[part] == count * (1 if part == "tokenizer" else 2)
    tokens, width = 1 + 4 + 49, 16
    assert found.cache == 4 * 2 * tokens * width  # one block
    assert found.peak["total"] == sum(size for name, size in found.peak.items() if name != "total")


def test_a_head_that_takes_no_steps_costs_one_evaluation():
    """However many steps it is asked for: the products of its matrices at 49 positions."""
    few, many = (
        sampling_cost(compose(str(TINY), [f"model.residual_head={REGRESSION}", f"sampler.head_steps={n}"]))
        for n in (1, 9)
    )
    assert few == many
    assert few.evaluations == 1
    assert few.macs["residual_head"] == 49 * (16 * 8 + 2 * 8 * 16 + 8 * 4)


@pytest.mark.slow
def test_sets_cost_a_modulation_each():
    """A code head sees every position once, in however many sets; what the condition does to it, once a step."""
    one, three = (sampling_cost(compose(str(TINY), [f"sampler.sets={sets}"])) for sets in (1, 3))
    assert three.macs["code_head"] - one.macs["code_head"] == 2 * 16 * 32
    assert three.steps == one.steps + 2


@pytest.mark.slow
def test_the_verb(capsys):
    assert main(["cost", str(TINY)]) == 0
    assert "held at once" in capsys.readouterr().out
    assert main(["cost", str(TINY), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 3


def test_what_is_kept_instead_of_computed_again():
    """By hand: six modulations at two more steps, keys not yet there, and 48 more times and conditions, twice."""
    found = sampling_cost(compose(str(TINY), ["model.residual_head.mlp_width=8", "model.residual_head.depth=1"]))
    assert found.savings["modulations"] == 2 * 6 * 16 * 16
    assert found.savings["slots"] == 2 * 16 * (1 * 53 + 4 * 49)
    assert found.savings["times"] == 2 * 48 * (256 * 8 + 8 * 8)


def test_logits_of_a_prefix():
    """A code drawn from the last of 6 tokens spares the logits of 5."""
    text = ["model.conditioner={card: text, features: 4, length: 6}", "model.backbone.condition.start=prefix"]
    found = sampling_cost(compose(str(TINY), text))
    assert found.savings["prefix"] == 5 * 16 * 8
