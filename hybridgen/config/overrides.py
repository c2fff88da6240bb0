"""Overrides from the command line, `model.backbone.depth=8`: the language of the experiment files, a line each."""

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

from hybridgen.config.schema import DOTTED
from hybridgen.config.yaml_text import Layer, Place, read_value
from hybridgen.system.errors import UserError, UserErrors

_KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def read_overrides(texts: Sequence[str]) -> Layer:
    """All overrides as one layer, so that their order matters only where two set the same key: the later wins.

    Raises:
        UserErrors: each one that cannot be read, with what to write instead.
    """
    layer, messages = Layer({}, {}), []
    for text in texts:
        try:
            layer = _with(layer, text)
        except UserError as error:
            messages.append(str(error))
    if messages:
        raise UserErrors(messages)
    return layer


def _with(layer: Layer, text: str) -> Layer:
    key, value = _split(text)
    given = read_value(value, Place(f"override {text}"), key)
    nested = reduce(lambda inner, name: {name: inner}, reversed(_names(key)), given.values[key])
    return Layer(_joined(layer.values, nested), layer.places | given.places)


def _names(key: str) -> list[str]:
    """The names that lead to a key; what stands below a node of dotted keys is one name."""
    above = next((node for node in DOTTED if key.startswith(f"{node}.")), None)
    return key.split(".") if above is None else [*above.split("."), key.removeprefix(f"{above}.")]


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    wrong = ""
    if not equals:
        wrong = "an override is key=value, such as seed=1"
    elif key[:1] in "+-~" and key:
        wrong = f"no sign is needed to add or change a key; write {key.lstrip('+-~')}={value}"
    elif "[" in key:
        name = key.partition("[")[0]
        wrong = f"entries of a list are not set one by one; write the whole list, {name}=[...]"
    elif not _KEY.fullmatch(key):
        wrong = f"'{key}' is not a key; write names joined by dots, such as model.backbone.depth=8"
    elif not value.strip():
        wrong = f"nothing stands after '='; write {key}=null to leave it out"
    if wrong:
        raise UserError(f"override {text}: {wrong}")
    return key, value


def _joined(lower: Any, upper: Any) -> Any:
    """`upper` merged into `lower`; a card's name in short and the mapping with its options go together."""
    if isinstance(lower, str) and isinstance(upper, dict):
        lower = {"card": lower}
    if isinstance(upper, str) and isinstance(lower, dict):
        upper = {"card": upper}
    if not isinstance(lower, dict) or not isinstance(upper, dict):
        return upper
    return lower | {key: _joined(lower[key], value) if key in lower else value for key, value in upper.items()}
