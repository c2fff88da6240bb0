"""YAML, read so that every value knows its line, and written so that it reads back as it was.

Why not OmegaConf's reader: it keeps no line numbers and reads scalars as YAML 1.1 does, where `1:30` is 90, `010` is 8
and `yes` is true. Here, as in YAML 1.2, a number looks like a number, `true` and `null` are spelt so, and all else is
text, which the strict types of options then refuse by name.
"""

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from hybridgen.config.paths import shown
from hybridgen.config.schema import DOTTED
from hybridgen.system.errors import UserError

MOST_NODES = 10_000  # an experiment has some hundred; more is an alias bomb

_WORDS = {"null": ("null", "Null", "NULL", "~", ""), "bool": ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_NOT_FINITE = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG = "tag:yaml.org,2002:"
_SPECIAL = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)
_NOWHERE = yaml.Mark("override", 0, 0, 0, "", 0)


@dataclass(frozen=True)
class Place:
    """Where a value was written: `text` for messages; its file, if it is in one that the user named."""

    text: str
    file: Path | None = None
    stored: bool = False  # read from a run or a checkpoint: it may not make us import a file

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Layer:
    """A tree of plain values, and the place of each by its dotted path."""

    values: dict[str, Any]
    places: dict[str, Place]


def read_file(path: Path) -> Layer:
    """The mapping in a YAML file.

    Raises:
        UserError: it is absent or not such a mapping; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{shown(path)}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{shown(path)}: cannot be read ({error})") from None
    reader = _Reader(shown(path), path.resolve())
    values = reader.read(text, "")
    if values is not None and not isinstance(values, dict):
        raise UserError(f"{shown(path)}:1: a mapping `key: value` is needed here, not {json.dumps(values)[:40]}")
    return Layer(values or {}, reader.places)


def read_value(text: str, place: Place, path: str) -> Layer:
    """A value from the command line; it stands under the key `path` of the layer.

    The shell has taken its quotes already, so the word counts as a whole: it is a number, a truth value or null where
    all of it looks so, YAML where it begins with a bracket or is quoted, else text, whatever signs are in it.

    Raises:
        UserError: it begins with a bracket and is not YAML.
    """
    reader, bare = _Reader(place.text, None), text.strip()
    if bare[:1] in ("[", "{") or (len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "'\""):
        return Layer({path: reader.read_whole(text, path)}, {key: place for key in reader.places} | {path: place})
    return Layer({path: reader.plain(text)}, {path: place})


def write(config: Any) -> str:
    """YAML that `read_file` reads back to the same values; lists stand on one line."""
    return yaml.dump(config, Dumper=_dumper(), sort_keys=False, width=120, allow_unicode=True)


class _Reader:
    """Walks the nodes of one text; `places` fills as it goes."""

    def __init__(self, shown_as: str, file: Path | None) -> None:
        self.shown_as, self.file = shown_as, file
        self.places: dict[str, Place] = {}
        self.nodes = 0

    def read(self, text: str, path: str) -> Any:
        try:
            node = yaml.compose(text, Loader=_loader())
        except yaml.YAMLError as error:
            self._syntax(error)
        return None if node is None else self._value(node, path, ())

    def read_whole(self, text: str, path: str) -> Any:
        """A list, mapping or quoted text in which no sign has a further meaning and after which nothing stands."""
        try:
            tokens = list(yaml.scan(text, Loader=_loader()))
        except yaml.YAMLError as error:
            self._syntax(error)
        strange = next((token for token in tokens if isinstance(token, _SPECIAL)), None)
        between = (text[a.end_mark.index : b.start_mark.index] for a, b in itertools.pairwise(tokens))
        sign = text[strange.start_mark.index] if strange is not None else "#"
        if strange is not None or any("#" in gap for gap in between):
            raise UserError(f"{self.shown_as}: '{sign}' has a meaning of its own in a list; put quotes around the text")
        return self.read(text, path)

    def plain(self, text: str) -> Any:
        """A number, a truth value or null where all of the text looks so, else the text as it is."""
        bare = text.strip()
        for tag, pattern in _resolvers().get(bare[:1], ()):
            if pattern.match(bare):
                return self._scalar(yaml.ScalarNode(tag, bare, _NOWHERE, _NOWHERE))
        return text

    def _value(self, node: yaml.Node, path: str, above: tuple[int, ...]) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES or id(node) in above:
            self._fail(node, f"its aliases (*name) unfold to more than {MOST_NODES} values, or into themselves")
        self.places[path] = self._place(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if not node.tag.startswith(f"{_TAG}{'map' if isinstance(node, yaml.MappingNode) else 'seq'}"):
            self._fail(node, f"the tag '{node.tag}' is not allowed; only plain values are")
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self._value(value, _below(path, key), above) for key, value in self._items(node, path)}
        return [self._value(value, f"{path}[{i}]", above) for i, value in enumerate(node.value)]

    def _items(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, yaml.Node]]:
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                given = key.value if isinstance(key, yaml.ScalarNode) else "..."
                self._fail(key, f"the key '{given}' is not text; put quotes around it if it is meant so")
            if key.value in lines:
                self._fail(key, f"the key '{key.value}' stands twice; first in line {lines[key.value]}")
            if not all(map(_KEY.fullmatch, key.value.split(".") if path in DOTTED else [key.value])):
                self._fail(key, f"the key '{key.value}' is not a name{_hint(key.value)}")
            lines[key.value] = key.start_mark.line + 1
            yield key.value, value

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text, tag = node.value, node.tag.removeprefix(_TAG)
        if tag == "str":
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() == "true"
        try:
            return int(text) if tag == "int" else float(_NOT_FINITE.get(text.lower()) or text)
        except ValueError:
            self._fail(node, f"the tag '{node.tag}' or the number '{text[:40]}' is not allowed; only plain values are")

    def _place(self, node: yaml.Node) -> Place:
        line = f":{node.start_mark.line + 1}" if self.file else ""
        return Place(f"{self.shown_as}{line}", self.file)

    def _fail(self, node: yaml.Node, message: str) -> NoReturn:
        raise UserError(f"{self._place(node)}: {message}")

    def _syntax(self, error: yaml.YAMLError) -> NoReturn:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line = f":{mark.line + 1}" if mark and self.file else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).split("\n")[0]
        if "cannot start any token" in problem:
            problem += "; YAML is indented by spaces, never by tabs, and @ ` % begin a text only within quotes"
        if "expected ',' or" in problem:
            problem += "; a bracket is left open"
        raise UserError(f"{self.shown_as}{line}: not YAML: {problem}") from None


def _hint(key: str) -> str:
    if "." in key:
        return "; dots serve in overrides only, here one key stands below the other"
    return "; is a space missing after ':'?" if ":" in key else ""


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """The scalars of YAML 1.2 (its core schema without octal and hexadecimal numbers), by their first letter."""
    table: dict[str | None, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, words in _WORDS.items():
        for word in words:
            table.setdefault(word[:1], []).append((f"{_TAG}{kind}", re.compile(f"{re.escape(word)}$")))
    for letter in "-+.0123456789":
        table.setdefault(letter, []).append((f"{_TAG}int", re.compile(f"(?:{_INT.pattern})$")))
        numbers = rf"(?:{_FLOAT.pattern}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        table[letter].append((f"{_TAG}float", re.compile(numbers)))
    return table


def _loader() -> Any:
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("Loader", (base,), {"yaml_implicit_resolvers": _resolvers()})


def _dumper() -> Any:
    """Quotes what either YAML 1.1 or 1.2 would read as something else than text."""
    table = {letter: list(rules) for letter, rules in yaml.SafeDumper.yaml_implicit_resolvers.items()}
    for letter, rules in _resolvers().items():
        table[letter] = rules + table.get(letter, [])
    members = {"yaml_implicit_resolvers": table, "ignore_aliases": lambda *_: True}
    dumper: Any = type("Dumper", (yaml.SafeDumper,), members)
    dumper.add_representer(list, lambda d, v: d.represent_sequence(f"{_TAG}seq", v, flow_style=True))
    return dumper
