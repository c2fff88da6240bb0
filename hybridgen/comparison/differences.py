"""Where configs differ, by dotted key; where they agree is not worth a line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

ABSENT: Any = object()  # the key is not there at all, where null would be


def differences(groups: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, list[str]]:
    """Dotted key -> a text for each group, for the keys in which groups of configs differ.

    Several values in a group are joined by commas. Where one config has another card than the next, or none, the node
    is one line: options of different cards have nothing to do with each other.
    """
    found: dict[str, list[str]] = {}
    _walk("", [list(configs) for configs in groups], found)
    return found


def lookup(config: Mapping[str, Any], key: str, default: Any = ABSENT) -> Any:
    """The value at a dotted key."""
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return default
        node = node[name]
    return node


def worded(value: Any) -> str:
    """A value in few words; a part by its card with its options."""
    if value is ABSENT:
        return "-"
    if not isinstance(value, Mapping):
        return value if isinstance(value, str) else json.dumps(value, default=str)
    options = ", ".join(f"{name}={worded(part)}" for name, part in value.items() if name != "card")
    return f"{value['card']}({options})" if "card" in value else f"({options})"


def _walk(path: str, groups: list[list[Any]], found: dict[str, list[str]]) -> None:
    values = [value for group in groups for value in group]
    if _alike(groups):
        return
    if all(isinstance(value, Mapping) for value in values) and len({str(v.get("card")) for v in values}) == 1:
        for name in dict.fromkeys(name for value in values for name in value):
            below = [[value.get(name, ABSENT) for value in group] for group in groups]
            _walk(f"{path}.{name}" if path else name, below, found)
    else:
        found[path] = [", ".join(dict.fromkeys(worded(value) for value in group)) for group in groups]


def _alike(groups: list[list[Any]]) -> bool:
    """Whether every group has the same values, such as the same seeds."""
    return len({tuple(sorted({worded(value) for value in group})) for group in groups}) <= 1
