"""What `ast` reads of a class is what Python would say of it, over every card; and what it refuses."""

import inspect
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from annotated_types import Ge

from hybridgen.config.registry import Registry
from hybridgen.config.schema import TREE
from hybridgen.config.signature import REQUIRED, Built, read
from hybridgen.config.yaml_text import Place
from hybridgen.system.errors import UserError

REGISTRY = Registry()
CARDS = [(slot, name) for slot in REGISTRY.slots() for name in REGISTRY.names(slot)]


@pytest.fixture
def part(tmp_path):
    """Writes a part's file that raises when imported, and gives its target."""

    def write(body, name="Part"):
        path = tmp_path / "part.py"
        path.write_text(f"raise RuntimeError('imported')\n{body}")
        return f"{path}:{name}"

    return write


def parameters(cls):
    """Names before and after `*`, the latter with their defaults, as Python sees them."""
    found = inspect.signature(cls).parameters.values()
    before = [p.name for p in found if p.kind is not p.KEYWORD_ONLY]
    return before, {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}


def hold_the_same(signature, cls):
    neighbours, options = parameters(cls)
    if hasattr(cls, "__dataclass_fields__"):
        neighbours, options = [], {p.name: p.default for p in inspect.signature(cls).parameters.values()}
    assert list(signature.neighbours) == neighbours
    assert list(signature.options) == list(options)
    hints = get_type_hints(cls if hasattr(cls, "__dataclass_fields__") else cls.__init__, include_extras=True)
    for name, option in signature.options.items():
        if isinstance(option.default, Built):
            assert type(options[name]).__name__ == option.default.target.rpartition(".")[2]
        else:
            expected = REQUIRED if options[name] is inspect.Parameter.empty else options[name]
            assert option.default == expected
        if not option.slot:
            assert option.type == hints[name]


@pytest.mark.parametrize(("slot", "name"), CARDS, ids=["/".join(card) for card in CARDS])
def test_a_cards_options_are_the_signatures(slot, name):
    card = REGISTRY.card(slot, name, Place("test"))
    signature = read(card.target)
    hold_the_same(signature, REGISTRY.load(card))
    assert set(card.options.values) <= set(signature.options)
    assert [o.name for o in signature.options.values() if not o.doc] == [], "each option is described under Args:"


def numbers(kind):
    """The ranges of every number in a type, those inside lists included: a set of texts."""
    if get_origin(kind) is Annotated:
        return {str(kind)}
    below = [numbers(part) for part in get_args(kind) if part is not ...] if get_origin(kind) is not Literal else []
    return {str(kind)} if kind in (int, float) else set().union(*below)


@pytest.mark.parametrize(("slot", "name"), CARDS, ids=["/".join(card) for card in CARDS])
def test_a_range_holds_for_each_entry_of_a_list(slot, name):
    """Where an option takes a number or a list of them, every entry is held to the range of the single number."""
    for option in read(REGISTRY.card(slot, name, Place("test")).target).options.values():
        if get_origin(option.type) in (Union, UnionType):
            assert len(numbers(option.type)) <= 1, f"{option.name}: {option.type}"


@pytest.mark.parametrize("target", sorted({node.target for node in TREE.values() if node.target}))
def test_settings_are_the_signatures(target):
    signature = read(target)
    hold_the_same(signature, REGISTRY.load_class(target, "test"))
    assert [o.name for o in signature.options.values() if not o.doc] == []


def test_reads_without_importing(part):
    signature = read(
        part('''
from typing import Annotated, Literal
from annotated_types import Ge
from hybridgen.diffusion.solvers import Euler, Solver
from hybridgen.types import Grid

Kind = Literal["a", "b"]
DEPTH = 3

class Part:
    """A part.

    Args:
        tokens: given.
        depth: of it,
            in blocks.
        kind, grid: two at once.
    """

    def __init__(
        self, tokens, width: int, *, depth: Annotated[int, Ge(1)] = DEPTH, kind: "Kind" = "a", grid: Grid = (),
        solver: Solver = Euler(), other: Solver | None = None, rate: float | tuple[float, ...] | None = -1.0, name: str,
    ): ...
''')
    )
    assert signature.neighbours == ("tokens", "width")
    options = signature.options
    assert (options["depth"].type, options["depth"].default) == (Annotated[int, Ge(1)], 3)
    assert options["depth"].doc == "of it, in blocks."
    assert options["kind"].type == Literal["a", "b"]
    assert options["kind"].doc == options["grid"].doc == "two at once."
    assert options["grid"].type == tuple[int, ...]
    assert options["solver"].default == Built("hybridgen.diffusion.solvers.Euler", {})
    assert (options["other"].slot, options["other"].nullable, options["other"].default) == ("solver", True, None)
    assert options["rate"].default == -1.0
    assert options["name"].default is REQUIRED


def test_reads_a_base_where_the_class_has_none(part):
    assert list(read(part("class Base:\n  def __init__(self, *, a: int = 1): ...\nclass Part(Base): ...")).options) == [
        "a"
    ]


def test_reads_a_dataclass(part):
    head = "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass Part:\n"
    body = f"{head}  a: int\n  b: bool = field(default=True)\n"
    options = read(part(body)).options
    assert (options["a"].default, options["b"].default) == (REQUIRED, True)


@pytest.mark.parametrize(
    ("parameter", "named"),
    [
        ("a: dict[str, int] = 1", r"option 'a': annotation 'dict\[str, int\]'"),
        ("a: list[int] = 1", r"annotation 'list\[int\]'"),
        ("a=1", "has no annotation"),
        ("a: 'Tensor' = 1", "annotation 'Tensor'"),
        ("a: int = f()", "default 'f.*' cannot be read"),
        ("a: int = 1 + x", "not a plain value"),
        ("a: Annotated[int, Even()] = 2", "Even"),
    ],
)
def test_refuses_what_yaml_cannot_give(part, parameter, named):
    with pytest.raises(UserError, match=named):
        read(part(f"class Part:\n  def __init__(self, *, {parameter}): ..."))


def test_names_an_unknown_class_with_the_nearest(part):
    with pytest.raises(UserError, match=r"unknown class 'Prat'\. Did you mean 'Part'\?"):
        read(part("class Part: ...", "Prat"))


def test_names_a_missing_module():
    with pytest.raises(UserError, match=r"no module 'hybridgen\.heads\.flwo' is installed"):
        read("hybridgen.heads.flwo.FlowHead")


def test_names_the_line_of_a_syntax_error(part):
    with pytest.raises(UserError, match=r"part\.py:2: not Python"):
        read(part("class Part(:"))
