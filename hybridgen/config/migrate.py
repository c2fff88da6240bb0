"""Options that earlier versions named otherwise, in the words of this one, and back.

The table of `first_form.py` serves stored configs, experiment files and overrides alike: an option is moved only where
the class no longer has it and has the group that the table names. What the table does not name is refused by the checks
that follow.

What an earlier version trained is found by hashes of its config. They are taken of the first words, so they stay.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Any

from hybridgen.config.first_form import BETWEEN, CHANGES, Form
from hybridgen.config.merge import merge
from hybridgen.config.registry import Card, Registry
from hybridgen.config.schema import TREE
from hybridgen.config.signature import Built, Option, Signature, read
from hybridgen.config.values import as_list
from hybridgen.config.yaml_text import Layer, Place
from hybridgen.system.errors import UserError

Node = dict[str, Any]

OF_MEDIUM = ("size", "channels")  # options of a folder of images in version 0.1.0
FIGURES: Mapping[str, str] = {"seconds_per_picture": "seconds_per_sample"}  # names of figures in version 0.1.0


def migrate(layers: Sequence[Layer], registry: Registry) -> list[Layer]:
    """Layers of a config, which lie upon each other, with the options of today; places move with their values."""
    whole, moved = reduce(merge, layers), _media_named(layers)
    forms = [form for form in CHANGES if any(_speaks(layer, form) for layer in layers)]
    for form in forms:
        part = _part(whole, form.part, registry)
        if part is not None:
            moved = [_moved(layer, form, part) for layer in moved]
    return moved


def _media_named(layers: Sequence[Layer]) -> list[Layer]:
    """A folder's size and channels are its medium's: once all folders were of images."""
    nodes = [layer.values.get("data") for layer in layers]
    cards = [node.get("card") if isinstance(node, dict) else node for node in nodes]
    if next((card for card in reversed(cards) if card is not None), None) != "folder":
        return list(layers)
    return [_media_named_in(layer) for layer in layers]


def _media_named_in(layer: Layer) -> Layer:
    node = layer.values.get("data")
    if not isinstance(node, dict) or "medium" in node or not any(name in node for name in OF_MEDIUM):
        return layer
    old = [name for name in OF_MEDIUM if name in node]
    places, rest = dict(layer.places), {name: value for name, value in node.items() if name not in old}
    for name in old:
        _move_places(places, f"data.{name}", f"data.medium.{name}")
    return Layer({**layer.values, "data": rest | {"medium": {name: node[name] for name in old}}}, places)


def figure_name(name: str) -> str:
    """The name of a figure today."""
    return FIGURES.get(name, name)


def first_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved config in the words of version 0.1.0; one that is in them already comes back equal.

    What those words cannot say stays as it is, so different configs stay different.
    """
    first = copy.deepcopy(dict(config))
    for form in CHANGES:
        above, _, name = form.part.partition(".")
        node = first.get(above, {}).get(name)
        if isinstance(node, dict) and all(_has(node, option, card) for option, card in form.sign.items()):
            first[above][name] = _flat(node, form)
    return first


class _Part:
    """A part that a config names: its class' options, and those of the cards in its groups."""

    def __init__(self, node: Node, card_options: Mapping[str, Any], signature: Signature, registry: Registry) -> None:
        self.options, self.registry = signature.options, registry
        self.given = {**card_options, **node}

    def takes(self, group: str, option: str, only: str) -> bool:
        """Whether the card in a group has this option; also true of a card that is not known.

        `only`: a card; under any other the option had no effect.
        """
        slot = self.options[group]
        try:
            card = self._card(slot)
            return option in read(card.target).options and only in ("", card.name)
        except UserError:
            return True

    def _card(self, slot: Option) -> Card:
        given = self.given.get(slot.name)
        name = given.get("card") if isinstance(given, dict) else given
        if isinstance(name, str):
            return self.registry.card(slot.slot, name, Place("stored config", stored=True))
        return self.registry.card_of(slot.slot, slot.default.target if isinstance(slot.default, Built) else "")


def _node(layer: Layer, path: str) -> Any:
    """The value at a path of two names; None where there is none."""
    above, _, name = path.partition(".")
    held = layer.values.get(above)
    return held.get(name) if isinstance(held, dict) else None


def _speaks(layer: Layer, form: Form) -> bool:
    """Whether a layer has an option by the first words of a form, or by words in between."""
    node = _node(layer, form.part)
    if not isinstance(node, dict):
        return False
    words = {*form.moved, *BETWEEN.get(form.part, {})}
    return bool(words & node.keys()) or any(node.get(group, "") is None for group in form.nullable)


def _part(whole: Layer, path: str, registry: Registry) -> _Part | None:
    """The part at a path; None where there is none or its card cannot be read, which is reported elsewhere."""
    node = _node(whole, path)
    node = {"card": node} if isinstance(node, str) else node
    if not isinstance(node, dict) or not isinstance(node.get("card"), str):
        return None
    place = whole.places.get(f"{path}.card", whole.places.get(path, whole.places.get("", Place("stored config"))))
    try:
        card = registry.card(TREE[path].slot, node["card"], place)
        return _Part(node, card.options.values, read(card.target), registry)
    except UserError:
        return None


def _moved(layer: Layer, form: Form, part: _Part) -> Layer:
    """A layer with the options of one form in their groups."""
    above, _, name = form.part.partition(".")
    node = _node(layer, form.part)
    if not isinstance(node, dict):
        return layer
    node, places = copy.deepcopy(node), dict(layer.places)
    for group in form.nullable:
        if group in node and node[group] is None and group in part.options and not part.options[group].nullable:
            del node[group]
    for first, place in {**form.moved, **BETWEEN.get(form.part, {})}.items():
        group, _, option = place.partition(".")
        if first not in node or first in part.options or group not in part.options or not part.options[group].slot:
            continue
        value = node.pop(first)
        if part.takes(group, option, form.implied[group] if group in form.nullable else ""):  # else it had no effect
            held = node.get(group) or {}
            held = {"card": held} if isinstance(held, str) else held
            node[group] = {option: value} | held
            _move_places(places, f"{form.part}.{first}", f"{form.part}.{place}")
    return Layer({**layer.values, above: {**layer.values[above], name: node}}, places)


def _move_places(places: dict[str, Place], old: str, new: str) -> None:
    for path in [p for p in places if p == old or p.startswith((f"{old}.", f"{old}["))]:
        places.setdefault(new + path.removeprefix(old), places.pop(path))


def _has(node: Node, option: str, card: str) -> bool:
    held = node.get(option)
    return option in node and (not card or (isinstance(held, dict) and held.get("card") == card))


def _flat(node: Node, form: Form) -> Node:
    """A node of today in its first words."""
    flat = {name: value for name, value in node.items() if name not in form.groups}
    for group in form.groups:
        held = node.get(group)
        if not isinstance(held, dict):  # it is in its first words already
            flat |= {group: held} if group in node else {}
            continue
        rest, mine = dict(held), {old: new.partition(".")[2] for old, new in form.moved.items() if _of(new, group)}
        for first, option in mine.items():
            if first in node:
                continue
            known = option in rest and (group not in form.nullable or held["card"] == form.implied[group])
            flat[first] = rest.pop(option) if known else form.absent[first]
        flat |= _rest(group, rest, held["card"], form)
    return flat


def _of(place: str, group: str) -> bool:
    return place.partition(".")[0] == group


def _rest(group: str, rest: Node, card: str, form: Form) -> Node:
    """What a group says beyond the first words: nothing, its card's name, or the options that came later."""
    del rest["card"]
    implied = form.implied.get(group) == card
    usual = _usual("network" if group == "net" else group, card)
    later = {name: value for name, value in rest.items() if name not in usual or usual[name] != value}
    if group in form.nullable:
        return {group: None} if implied and not later else {group: {"card": card} | rest}
    if implied:
        return {group: later} if later else {}
    return {group: {"card": card} | later if later else card}


@cache
def _usual(slot: str, card: str) -> dict[str, Any]:
    """The defaults of the class that one of our own cards names; empty for a card of others."""
    try:
        options = read(Registry().card(slot, card, Place("stored config", stored=True)).target).options
    except UserError:
        return {}
    return {name: as_list(option.default) for name, option in options.items()}
