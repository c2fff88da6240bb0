"""No option that a published system needs goes untested: options.yaml names the test that switches each of them."""

import re

import pytest
import yaml
from reference import HERE

ROOT = HERE.parents[1]
LISTED = yaml.safe_load((HERE / "options.yaml").read_text())
SIZES, REASONS = LISTED.pop("sizes"), LISTED.pop("reasons")
NAMED = [
    (part, option, *one) for part, options in LISTED.items() for option in options for one in options[option].items()
]


def options_of(part, value):
    """What an experiment says of a part, card and all, as dotted options; its own name if it is a value."""
    if value is None:
        return set()
    entry = {"card": value} if isinstance(value, str) else value
    path = ROOT / f"registry/{part}/{entry['card']}.yaml" if isinstance(entry, dict) and "card" in entry else None
    if not isinstance(entry, dict) or (path and not path.is_file()):
        return {part}
    card = yaml.safe_load(path.read_text()).get("options", {}) if path else {}
    said = {**card, **entry}
    nested = {option: value for option, value in said.items() if isinstance(value, dict)}
    named = said.keys() - {"card"} - {option for option, value in nested.items() if "card" not in value}
    return named | {f"{option}.{name}" for option, value in nested.items() for name in value if name != "card"}


def published():
    """Every (part, option) that an experiment or a card of a published system sets."""
    found = set()
    for file in sorted((ROOT / "experiments/published").glob("*.yaml")):
        said = yaml.safe_load(file.read_text())
        for part, value in {**(said.get("model") or {}), "sampler": said.get("sampler")}.items():
            found |= {(part, option) for option in options_of(part, value)}
    return found


def test_what_is_published_is_listed():
    free = {(part, option) for part, options in SIZES.items() for option in options}
    free |= {(option, option) for option in SIZES["model"]}
    listed = {(part, option) for part, options in LISTED.items() for option in options}
    assert sorted(published() - listed - free) == []
    assert sorted(listed & free) == []


@pytest.mark.parametrize(("part", "option", "module", "switch"), NAMED)
def test_a_test_switches_it(part, option, module, switch):
    source = (HERE / f"{module}.py").read_text()
    assert re.search(rf"\b{re.escape(switch)}(=|\"|\()", source), f"{part}.{option}: {module} does not switch {switch}"


def test_reasons_are_given():
    """Of what is no size by its name."""
    sizes = {"scales", "vocab", "channels", "features", "width", "depth", "heads", "mlp_width", "head_width"}
    excused = {name for names in REASONS for name in names.split(", ")}
    assert excused == {option for options in SIZES.values() for option in options} - sizes
