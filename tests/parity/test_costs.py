"""Multiply-accumulates of the published models against those of the official codes, which compute some things anew."""

import pytest

from hybridgen.config.compose import compose
from hybridgen.evaluation.sampling_cost import sampling_cost
from hybridgen.evaluation.savings import REASONS
from hybridgen.published.catalogue import catalogue
from hybridgen.published.counting import PART, counted
from hybridgen.published.official import official

CASES = [
    pytest.param(entry, count, id=" ".join([entry.model, *count.overrides]))
    for entry in official().values()
    for count in entry.counts
]


def test_every_published_model_is_listed():
    assert official().keys() == catalogue().keys() | {"hart_0.7b_256", "hart_0.7b_512"}
    assert {reason for entry in official().values() for reason in entry.spends} == REASONS.keys() == PART.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "count"), CASES)
def test_cost(entry, count):
    """Within 1 % of the official count, all and by part; ours executes no more, and 5 % less at most."""
    ours = counted(entry.model, count.overrides)
    spent = ours.as_spent(entry.spends)
    assert spent["total"] == pytest.approx(count.generator, rel=0.01)
    assert {part: spent[part] for part in count.by} == pytest.approx(dict(count.by), rel=0.01)
    assert ours.parts["tokenizer"] == pytest.approx(count.decoder, rel=0.01)
    assert 0.95 * spent["total"] <= ours.generator <= spent["total"]


@pytest.mark.slow
def test_counting_blocks_is_exact():
    """The whole walk of a model gives what its first blocks predict."""
    whole, ours = sampling_cost(compose("published/hart_0.7b_256")), counted("hart_0.7b_256")
    assert ours.parts == whole.macs
    assert ours.savings == whole.savings
