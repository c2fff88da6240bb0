"""Every official slip that was listed is reproduced by an option that takes the value, or has its reason."""

import json
import re
from functools import cache

import pytest

from hybridgen.config.compose import compose
from hybridgen.config.registry import Place
from hybridgen.config.signature import read
from hybridgen.config.values import accept
from hybridgen.published.slips import SLIPS, slips
from tests.parity.reference import reference_folder

LISTS = {"survey": 18, "runs hart": 13, "runs var": 5, "runs mar": 5, "runs llamagen": 6, "runs dit": 1, "runs sit": 3,
         "runs text": 2}  # fmt: skip
SETTINGS = dict.fromkeys(
    (one.at, one.card, json.dumps(one.value), one.experiment, one.is_set) for slip in slips() for one in slip.settings
)


@cache
def experiment(name):
    return compose(f"published/{name}")


def test_each_has_settings_or_a_reason():
    assert [slip.what for slip in slips() if bool(slip.settings) == bool(slip.not_rebuilt)] == []
    assert SLIPS.read_text(encoding="utf-8").count("\n- slip:") == len({slip.what for slip in slips()})


def test_none_of_the_lists_is_missing():
    """Numbers of the survey, and of the notes on each system's runs: all there, and no other."""
    listed = {place for slip in slips() for place in slip.listed}
    assert listed == {f"{name} {number}" for name, count in LISTS.items() for number in range(1, count + 1)}


def test_the_lists_are_as_long_as_their_sources():
    """Where the reference data lies beside the checkout, its own numbering says how many there are."""
    about = (reference_folder() / "README.md").read_text(encoding="utf-8")
    section = about.partition("\n## 5.")[2].partition("\n## ")[0]
    assert LISTS["runs hart"] == max(int(n) for n in re.findall(r"^(\d+)\. ", section, re.MULTILINE))
    survey = (reference_folder().parent / "design/peers.md").read_text(encoding="utf-8")
    rows = survey.partition("\n### 3.11")[2].partition("\n## ")[0]
    assert LISTS["survey"] == len(re.findall(r"^\| \d+ \|", rows, re.MULTILINE))


@pytest.mark.parametrize(("at", "card", "value", "name", "is_set"), SETTINGS)
def test_setting(at, card, value, name, is_set):
    """The option exists on the named card, and takes the value; the experiment says it, or can."""
    value, composed, (part, _, option) = json.loads(value), experiment(name), at.rpartition(".")
    if card:
        assert composed.node(part)["card"] == card
        slot = part.rpartition(".")[2]
        known = read(composed.registry.card(slot, card, Place("a test")).target).options
        assert option in known
        assert known[option].slot or accept(known[option].type, value) == value
    if is_set:
        assert composed.node(at) == value
        return
    taken = compose(f"published/{name}", [f"{at}={json.dumps(value)}"])
    assert composed.node(at) != value, "the experiment does say so"
    assert taken.node(at) == value or taken.node(at).items() >= value.items()
