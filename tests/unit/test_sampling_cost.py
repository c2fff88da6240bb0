"""What drawing a picture costs, counted on shapes alone: against the counter of torch, and against numbers by hand."""

import json
from pathlib import Path

import pytest

from hybridgen.cli import main
from hybridgen.config import compose
from hybridgen.evaluation.sampling_cost import sampling_cost

TINY = Path(__file__).parents[1] / "tiny.yaml"
REGRESSION = "{card: regression, mlp_width: 8, depth: 1}"
PUBLISHED = {  # multiply-accumulates of one row by the official code: generator, decoder (peers of the same name)
    "var_d16": (150.2e9, 196.9e9),
    "mar_b": (3.67e12, 125e9),
    "llamagen_b": (26.2e9, 126e9),
    "dit_xl_2": (250 * 118.6e9, 311e9),
}


def test_turns_and_evaluations():
    """Three scales, a residual of two steps at the last; a second row doubles everything but the tokenizer."""
    found = sampling_cost(compose(str(TINY)))
    assert found.turns == 3
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


def test_sets_cost_a_modulation_each():
    """A code head sees every position once, in however many sets; what the condition does to it, once a turn."""
    one, three = (sampling_cost(compose(str(TINY), [f"sampler.sets={sets}"])) for sets in (1, 3))
    assert three.macs["code_head"] - one.macs["code_head"] == 2 * 16 * 32
    assert three.turns == one.turns + 2


def test_the_verb(capsys):
    assert main(["cost", str(TINY)]) == 0
    assert "held at once" in capsys.readouterr().out
    assert main(["cost", str(TINY), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["turns"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_cost_what_the_official_ones_do(name):
    """Within 1 %, but where ours does less: one time embedding a turn, one modulation a picture, filled slots only."""
    found = sampling_cost(compose(f"published/{name}", ["sampler.sets=64"] if name.startswith("mar") else []))
    generator, decoder = PUBLISHED[name]
    saved = 0.03 if name.startswith("llamagen") else 0.01
    ours = found.macs["total"] - found.macs["tokenizer"]
    assert generator * (1 - saved) <= ours <= generator * 1.01
    assert found.macs["tokenizer"] == pytest.approx(decoder, rel=0.01)
