"""Layers of an experiment laid on top of each other, and `${...}` worked out: the part that OmegaConf does.

A node that names a card replaces whatever stood there, options and all; a node that does not, merges into it; null
removes. Interpolation knows keys and the three resolvers below; none reads the environment or a file.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException
from omegaconf.grammar_parser import parse

from hybridgen.config.yaml_text import Layer, Place
from hybridgen.system.errors import UserErrors, unknown

Number = int | float


def merge(lower: Layer, upper: Layer) -> Layer:
    """`upper` laid over `lower`; each value keeps the place it was written in."""
    values, places = _copy(lower.values), dict(lower.places)
    _make_room(values, upper.values, "", places)
    merged = OmegaConf.merge(values, upper.values)
    return Layer(OmegaConf.to_container(merged, resolve=False), places | upper.places)  # type: ignore[arg-type]


def check_texts(layer: Layer) -> None:
    """Refuses what OmegaConf could not even hold: `${` left open, a resolver outside our list, the missing value `???`.

    Raises:
        UserErrors: one message for each such text.
    """
    found = ((path, _refusal(text)) for path, text in _texts(layer.values))
    messages = [f"{layer.places[path]}: {path}: {problem}" for path, problem in found if problem]
    if messages:
        raise UserErrors(messages)


def interpolate(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The tree with every `${...}` worked out, and a message for each path where that failed (its value is None)."""
    _register()
    problems: dict[str, str] = {}
    values = _copy(values)
    tree = OmegaConf.create(values)
    for path, text in list(_texts(values)):
        if "${" in text:
            try:
                value = OmegaConf.select(tree, path, throw_on_missing=True)
            except (OmegaConfBaseException, RecursionError) as error:
                problems[path], value = f"'{text}' cannot be worked out: {_first_line(error)}", None
            _put(values, path, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value)
    return values, problems


def _make_room(values: dict[str, Any], upper: dict[str, Any], path: str, places: dict[str, Place]) -> None:
    """Takes out of `values` what `upper` replaces as a whole, with its places."""
    for key, new in upper.items():
        here = f"{path}.{key}" if path else key
        old = values.get(key)
        if isinstance(new, dict) and "card" not in new and isinstance(old, str | dict):
            values[key] = {"card": old} if isinstance(old, str) else old  # `backbone: causal` in short
            _make_room(values[key], new, here, places)
        else:
            values.pop(key, None)
            for stale in [p for p in places if p == here or p.startswith((f"{here}.", f"{here}["))]:
                del places[stale]


def _refusal(text: str) -> str:
    """Why a text with `${` is refused before it is worked out, or nothing."""
    if text == "???":
        return "'???' marks a missing value; write it, or null"
    if "${" not in text:
        return ""
    try:
        names = list(_resolver_names(parse(text)))
    except GrammarParseError as error:
        return f"'{text}' is not a whole interpolation: {_first_line(error)}. Write ${{a.b}} or ${{mul:${{a.b}},2}}"
    strange = next((name for name in names if name not in RESOLVERS), None)
    return unknown("resolver", strange, RESOLVERS) if strange is not None else ""


def _resolver_names(tree: Any) -> Iterator[str]:
    if type(tree).__name__ == "ResolverNameContext":
        yield tree.getText()
    for child in getattr(tree, "children", None) or ():
        yield from _resolver_names(child)


def _mul(a: Any, b: Any) -> Number:
    return _number(a) * _number(b)


def _add(a: Any, b: Any) -> Number:
    return _number(a) + _number(b)


def _div(a: Any, b: Any) -> Number:
    """A whole number where the division is even, so that a width can be halved."""
    whole = isinstance(a, int) and isinstance(b, int) and b != 0 and a % b == 0
    return _number(a) // _number(b) if whole else _number(a) / _number(b)


def _number(value: Any) -> Number:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"'{value}' is not a number")
    return value


RESOLVERS: Final[dict[str, Callable[[Any, Any], Number]]] = {"add": _add, "div": _div, "mul": _mul}


def _register() -> None:
    for name, resolver in RESOLVERS.items():
        if not OmegaConf.has_resolver(name):
            OmegaConf.register_resolver(name, resolver)


def _texts(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of the tree with its path."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from _texts(value, f"{path}[{i}]")


def _put(tree: Any, path: str, value: Any) -> None:
    *above, last = path.replace("[", ".").replace("]", "").split(".")
    for key in above:
        tree = tree[int(key)] if isinstance(tree, list) else tree[key]
    tree[int(last) if isinstance(tree, list) else last] = value


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]
