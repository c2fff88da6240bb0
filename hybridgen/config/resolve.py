"""The whole tree of an experiment: cards looked up, defaults written out, every option checked, all mistakes reported.

Order of meaning: signature default < card options < experiment < command line. A part is `{card: name, option: value,
...}` in the result, one that is left out is None.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, Final

from hybridgen.config.merge import check_texts, interpolate, merge
from hybridgen.config.registry import Card, Registry
from hybridgen.config.schema import BLOCKS, HEADS, TREE, children, join
from hybridgen.config.signature import Built, Option, Required, Signature, read
from hybridgen.config.values import accept, as_list, described, given
from hybridgen.config.yaml_text import Layer, Place
from hybridgen.system.errors import UserError, UserErrors, unknown

ABSENT: Final[Any] = object()  # not written at all, where null would be


def resolve(layer: Layer, registry: Registry, *, stored: bool = False) -> Layer:
    """The resolved tree and the place of each value.

    A stored tree was resolved before: its texts are taken as they are.

    Raises:
        UserErrors: every mistake of the tree, each with its place.
    """
    work = _Resolution(layer.places, registry)
    tree = work.node("", layer.values)
    if not stored:
        tree = work.interpolated(tree)
    work.check(tree)
    work.point_deeper(tree)
    if "model" not in work.wrong and all(_at(tree, path) is None and not work.is_wrong(path) for path in HEADS):
        work.say(HEADS[0], f"null, and so is {HEADS[1]}; a model needs at least one of the two")
    if work.messages:
        raise UserErrors(work.messages)
    return Layer(tree, work.places)


def resolve_part(slot: str, value: Any, path: str, registry: Registry) -> tuple[Any, Mapping[str, Place]]:
    """A single part, which stands at `path`, and the place of each value.

    Raises:
        UserErrors: every mistake in it, each with its place.
    """
    work = _Resolution({path: Place("config", stored=True)}, registry)
    node = work.part(path, slot, value, nullable=False)
    work.check(reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), node))
    if work.messages:
        raise UserErrors(work.messages)
    return node, work.places


def where(places: Mapping[str, Place], path: str) -> str:
    """ "file:line: path" of the nearest node that was written down; an override says its own path."""
    near = path
    while near and near not in places:
        near = near.rpartition(".")[0] if "." in near else ""
    place = str(places.get(near, "experiment"))
    return place if not path or place.startswith(f"override {path}=") else f"{place}: {path}"


def elsewhere(key: str, tree: Mapping[str, Any]) -> str:
    """A hint for an unknown key: the full paths of those keys of the tree that have the same name; else nothing."""
    paths = [path for path in _paths(tree) if path.rpartition(".")[2] == key.rpartition(".")[2] and path != key]
    return f"\n  a key of that name lies at {', '.join(paths[:8])}; write the full path" if paths else ""


def _paths(tree: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if name != "card":
            yield join(above, name)
        if isinstance(value, Mapping):
            yield from _paths(value, join(above, name))


class _Resolution:
    """One pass over the tree, and what it found wrong."""

    def __init__(self, places: Mapping[str, Place], registry: Registry) -> None:
        self.places, self.registry = dict(places), registry
        self.messages: list[str] = []
        self.strange: list[tuple[int, str]] = []  # of each unknown key: its message, its path
        self.wrong: set[str] = set()
        self.checks: dict[str, tuple[Option, Signature]] = {}

    def say(self, path: str, message: object) -> None:
        self.wrong.add(path)
        self.messages.append(f"{where(self.places, path)}: {message}")

    def is_wrong(self, path: str) -> bool:
        return any(p == path or p.startswith((f"{path}.", f"{path}[")) for p in self.wrong)

    def node(self, path: str, value: Any) -> Any:
        """A node of the schema with all below it."""
        node = TREE[path]
        if node.slot:
            return self.part(path, node.slot, value, node.nullable)
        if value is None and node.nullable:
            return None
        if not isinstance(value, dict) and value is not ABSENT:
            return self.say(path, f"{given(value)}; needed: a mapping of its options")
        values: dict[str, Any] = {} if value is ABSENT else value
        below = children(path)
        options = {key: v for key, v in values.items() if key not in below}
        signature = self.signature(path, node.target)
        filled = self.options(path, signature, options, also=[*below, *(() if path else BLOCKS)]) if signature else {}
        return filled | {name: self.node(join(path, name), values.get(name, ABSENT)) for name in below}

    def part(self, path: str, slot: str, value: Any, nullable: bool) -> Any:
        """A node that a card fills."""
        if nullable and (value is None or value is ABSENT):
            return None
        values = {"card": value} if isinstance(value, str) else value
        name = values.get("card") if isinstance(values, dict) else None
        if not isinstance(name, str):
            known = f"\n  known: {', '.join(self.registry.names(slot))}"
            wrong = f"{path} names no card" if isinstance(value, dict) else given(None if value is ABSENT else value)
            first = next(iter(value), "card") if isinstance(value, dict) else ""
            return self.say(join(path, first) if first else path, f"{wrong}; needed: a card of {slot}{known}")
        at = f"{path}.card" if f"{path}.card" in self.places else path
        try:
            card = self.registry.card(slot, name, self.places.get(at, self.places.get("", Place("experiment"))))
            check_texts(card.options)
            signature = read(card.target)
        except UserError as error:
            hint = "\n  write null to leave the part out" if nullable and name.lower() == "none" else ""
            return self.say(at, f"{error}{hint}")
        merged = self.over_card(path, card, {key: v for key, v in values.items() if key != "card"})
        return {"card": card.name} | self.options(path, signature, merged, f" of card {card.name}")

    def over_card(self, path: str, card: Card, values: dict[str, Any]) -> dict[str, Any]:
        """What the experiment says, laid over the card's options."""
        prefix = f"{path}."
        own = {p.removeprefix(prefix): place for p, place in self.places.items() if p.startswith(prefix)}
        merged = merge(card.options, Layer(values, own))
        self.places |= {prefix + p: place for p, place in merged.places.items()}
        return merged.values

    def options(
        self, path: str, signature: Signature, values: dict[str, Any], owner: str = "", also: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Every option of a class: as given, else its default."""
        known, kind = (*signature.options, *also), "option" if owner else "key"
        for key in values:
            if key not in signature.options:
                self.strange.append((len(self.messages), join(path, key)))
                self.say(join(path, key), unknown(kind, key, known).replace(f"'{key}'", f"'{key}'{owner}", 1))
        filled = {}
        for name, option in signature.options.items():
            here, value = join(path, name), values.get(name, option.default)
            if option.slot:
                filled[name] = self.part(here, option.slot, self.built(here, option, value), option.nullable)
            elif isinstance(value, Required):
                self.say(here, f"a value is needed: {described(option.type)} ({signature.place})")
            else:
                filled[name] = as_list(value)
                self.checks[here] = option, signature
        return filled

    def built(self, path: str, option: Option, value: Any) -> Any:
        """A value of a slot: a default such as `Euler()` as the node that a card of its class would be.

        Options that name no card are those of the default.
        """
        bare = isinstance(value, dict) and "card" not in value
        if isinstance(option.default, Built) and (bare or value is option.default):
            try:
                card = self.registry.card_of(option.slot, option.default.target)
            except UserError as error:
                return self.say(path, error)
            return (
                {"card": card.target if ".py:" in card.name else card.name}
                | option.default.options
                | (value if bare else {})
            )
        return ABSENT if isinstance(value, Required) else value

    def signature(self, path: str, target: str) -> Signature | None:
        try:
            return read(target) if target else Signature("")
        except UserError as error:
            self.say(path, error)
            return None

    def interpolated(self, tree: dict[str, Any]) -> dict[str, Any]:
        tree, problems = interpolate(tree)
        for path, problem in problems.items():
            self.say(path, problem)
        return tree

    def point_deeper(self, tree: dict[str, Any]) -> None:
        """Adds to the message of each unknown key where in the tree a key of that name lies."""
        for index, key in self.strange:
            self.messages[index] += elsewhere(key, tree)

    def check(self, tree: dict[str, Any]) -> None:
        """Each option's value against its type; converted values are put in their place."""
        for path, (option, signature) in self.checks.items():
            if self.is_wrong(path):
                continue
            above = _at(tree, path.rpartition(".")[0])
            try:
                above[option.name] = accept(option.type, above[option.name])
            except ValueError as error:
                self.say(path, f"{error} ({signature.place})")


def _at(tree: Any, path: str) -> Any:
    for key in path.split(".") if path else ():
        tree = (tree or {}).get(key)
    return tree
