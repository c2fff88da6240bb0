"""Configs and figures stored by earlier versions, in the words of this one: one table, applied from top to bottom.

A stored config is complete, so each change is seen by a key that is there and no longer known. Nothing is guessed: what
the table does not name is refused by the checks that follow, as it always was.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

Node = dict[str, Any]


def migrate(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stored config with the option names of today; one that has them already comes back equal."""
    migrated = copy.deepcopy(dict(config))
    for path, change in CHANGES:
        node = _at(migrated, path)
        if isinstance(node, dict):
            change(node)
    return migrated


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _renamed(old: str, new: str) -> Callable[[Node], None]:
    """The change that gives an option another name."""

    def change(node: Node) -> None:
        if old in node and new not in node:
            node[new] = node.pop(old)

    return change


def _into(old: Mapping[str, str], new: str, card: str) -> Callable[[Node], None]:
    """The change that moves options into a nested part: their old names to their names there."""

    def change(node: Node) -> None:
        if new not in node and any(name in node for name in old):
            node[new] = {"card": card} | {inner: node.pop(name) for name, inner in old.items() if name in node}

    return change


def _of_card(name: str, change: Callable[[Node], None]) -> Callable[[Node], None]:
    """A change of the nodes that this card fills."""
    return lambda node: change(node) if node.get("card") == name else None


FIGURES: Final[Mapping[str, str]] = {"seconds_per_picture": "seconds_per_sample"}


def figure_name(name: str) -> str:
    """The name of a figure today."""
    return FIGURES.get(name, name)


CHANGES: Final[tuple[tuple[str, Callable[[Node], None]], ...]] = (
    ("data", _of_card("folder", _into({"size": "size", "channels": "channels"}, "medium", "image"))),
    ("model.residual_head", _renamed("told", "condition_input")),
    ("model.residual_head", _renamed("clock", "time_input")),
)
