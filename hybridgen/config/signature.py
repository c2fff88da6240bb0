"""What a class takes, read from its source by `ast`: nothing is imported, so nobody waits for torch.

Before `*` in `__init__` stand the names that neighbours provide, after it the options; the fields of a dataclass are
all options. A test compares this reading with `inspect.signature` for every card.
"""

import ast
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, Union

import annotated_types

from hybridgen.config.paths import shown
from hybridgen.config.schema import CONTRACTS
from hybridgen.config.source import Module, locate
from hybridgen.system.errors import UserError, unknown

PLAIN: Final = {"int": int, "float": float, "bool": bool, "str": str}
RANGES: Final = {name: getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt")}
SLOTS: Final = {contract.rpartition(".")[2]: slot for slot, contract in CONTRACTS.items()}
ALLOWED = "int, float, bool, str, Literal, tuple, | None, Annotated with Ge/Gt/Le/Lt, or a contract such as Solver"


class Required:
    """Stands where an option has no default."""


REQUIRED: Final = Required()


@dataclass(frozen=True)
class Built:
    """A default that is an object, such as `Euler()`: its class and the options it is given."""

    target: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Option:
    """One option: its typing object, or the slot whose card fills it."""

    name: str
    type: Any
    slot: str
    nullable: bool
    default: Any
    doc: str


@dataclass(frozen=True)
class Signature:
    """What a class takes: names from its neighbours, and options. `place` is "file.py:Class" for messages."""

    place: str
    neighbours: tuple[str, ...] = ()
    options: dict[str, Option] = field(default_factory=dict)


def read(target: str) -> Signature:
    """The signature of "package.module.Class" or "file.py:Class".

    Raises:
        UserError: there is no such file or class, or an option is declared in a way that a YAML file cannot give.
    """
    module, name = locate(target)
    found = module.find(name)
    if found is None or not isinstance(found[1], ast.ClassDef):
        raise UserError(unknown("class", name, module.classes(), where=shown(module.path)))
    place = f"{shown(found[0].path)}:{name}"
    neighbours, options = _members(found[0], found[1], place)
    return Signature(place, tuple(neighbours), {option.name: option for option in options})


def _members(module: Module, node: ast.ClassDef, place: str) -> tuple[list[str], list[Option]]:
    """Neighbours and options of a class; those of its base when it declares none itself."""
    docs = _docs(ast.get_docstring(node) or "")
    if any(_last(_callee(d)) == "dataclass" for d in node.decorator_list):
        inherited = {option.name: option for option in _inherited(module, node, place)[1]}
        own = {option.name: option for option in _fields(module, node, docs, place)}
        return [], list((inherited | own).values())
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _parameters(module, item.args, docs, place)
    return _inherited(module, node, place)


def _inherited(module: Module, node: ast.ClassDef, place: str) -> tuple[list[str], list[Option]]:
    for base in node.bases:
        found = module.find(base.id) if isinstance(base, ast.Name) else None
        if found and isinstance(found[1], ast.ClassDef):
            return _members(found[0], found[1], place)
    return [], []


def _fields(module: Module, node: ast.ClassDef, docs: dict[str, str], place: str) -> list[Option]:
    options = []
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        outer = item.annotation.value if isinstance(item.annotation, ast.Subscript) else item.annotation
        if _last(outer) not in ("ClassVar", "KW_ONLY"):
            options.append(_option(module, item.target.id, item.annotation, item.value, docs, place))
    return options


def _parameters(
    module: Module, args: ast.arguments, docs: dict[str, str], place: str
) -> tuple[list[str], list[Option]]:
    neighbours = [a.arg for a in (*args.posonlyargs, *args.args)][1:]  # without self
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    return neighbours, [_option(module, a.arg, a.annotation, default, docs, place) for a, default in pairs]


def _option(
    module: Module, name: str, annotation: ast.expr | None, default: ast.expr | None, docs: dict[str, str], place: str
) -> Option:
    try:
        kind = _type(module, annotation)
        nullable = isinstance(kind, _Slot) and kind.nullable
        value = REQUIRED if default is None else _default(module, default)
    except ValueError as error:
        raise UserError(f"{place}: option '{name}': {error}") from None
    slot = kind.slot if isinstance(kind, _Slot) else ""
    return Option(name, None if slot else kind, slot, nullable, value, docs.get(name, ""))


@dataclass(frozen=True)
class _Slot:
    """The type of an option that is itself a part."""

    slot: str
    nullable: bool = False


def _type(module: Module, node: ast.expr | None) -> Any:
    """The typing object, or the slot, that an annotation means."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str(text)):
            return _type(module, ast.parse(text, mode="eval").body)
        case ast.Name(id=name) if name in PLAIN:
            return PLAIN[name]
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in SLOTS:
            return _Slot(SLOTS[name])
        case ast.Name(id=name):
            return _alias(module, node, name)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union(_type(module, left), _type(module, right))
        case ast.Subscript(value=outer, slice=inner):
            return _generic(module, node, _last(outer), inner.elts if isinstance(inner, ast.Tuple) else [inner])
    raise _refused(node)


def _alias(module: Module, node: ast.Name, name: str) -> Any:
    """A name given to a type at the top of a module, such as `Grid = tuple[int, ...]`."""
    found = module.find(name)
    if found and isinstance(found[1], ast.Assign):
        return _type(found[0], found[1].value)
    raise _refused(node)


def _union(left: Any, right: Any) -> Any:
    if isinstance(left, _Slot) or isinstance(right, _Slot):
        slot, other = (left, right) if isinstance(left, _Slot) else (right, left)
        if other is not None:
            raise ValueError("a part cannot be mixed with another type")
        return _Slot(slot.slot, nullable=True)
    return Union[left, right]  # noqa: UP007 - built from values


def _generic(module: Module, node: ast.expr, outer: str, inner: list[ast.expr]) -> Any:
    if outer == "Literal":
        return Literal[tuple(ast.literal_eval(choice) for choice in inner)]
    if outer == "tuple":
        return tuple[tuple(... if _is_dots(part) else _plain(module, part) for part in inner)]  # type: ignore[misc]
    if outer == "Annotated":
        return Annotated[(_plain(module, inner[0]), *(_range(part) for part in inner[1:]))]
    raise _refused(node)


def _plain(module: Module, node: ast.expr) -> Any:
    kind = _type(module, node)
    if isinstance(kind, _Slot):
        raise _refused(node)
    return kind


def _range(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and _last(node.func) in RANGES and len(node.args) == 1:
        return RANGES[_last(node.func)](ast.literal_eval(node.args[0]))
    raise _refused(node)


def _default(module: Module, node: ast.expr) -> Any:
    """A default: a literal, a module's constant, `field(default=...)`, or an object such as `Euler()`."""
    match node:
        case ast.Call(func=func) if _last(func) == "field":
            given = {k.arg: k.value for k in node.keywords}
            return _default(module, given["default"]) if "default" in given else REQUIRED
        case ast.Call(func=ast.Name(id=name)):
            found = module.find(name)
            if found is None or node.args:
                raise ValueError(f"default '{ast.unparse(node)}' cannot be read; give keywords of a known class")
            options = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
            return Built(found[0].target(name), options)
        case ast.Name(id=name):
            found = module.find(name)
            if found and isinstance(found[1], ast.Assign):
                return _default(found[0], found[1].value)
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f"default '{ast.unparse(node)}' is not a plain value") from None


def _docs(docstring: str) -> dict[str, str]:
    """The entries of the section `Args:`, each as one line; `a, b: text` describes both."""
    docs: dict[str, str] = {}
    _, _, section = f"\n{docstring}".partition("\nArgs:\n")
    names: list[str] = []
    for line in section.split("\n"):
        if line.strip() and not line.startswith(" "):
            break  # the next section
        head, colon, text = line.strip().partition(":")
        if colon and line.startswith("    ") and not line.startswith("     "):
            names = [name.strip() for name in head.split(",")]
            docs |= dict.fromkeys(names, text.strip())
        else:
            docs |= {name: f"{docs[name]} {line.strip()}".strip() for name in names}
    return docs


def _refused(node: ast.expr | None) -> ValueError:
    given = f"annotation '{ast.unparse(node)}' cannot be given in YAML" if node else "has no annotation"
    return ValueError(f"{given}\n  allowed: {ALLOWED}")


def _callee(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _last(node: ast.expr) -> str:
    """The last part of a dotted name, so that `typing.Literal` and `Literal` read alike."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
