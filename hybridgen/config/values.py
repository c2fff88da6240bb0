"""Is this value what the option asks for? Strict, and the answer is a sentence.

A list becomes a tuple and a whole number passes for a number; nothing else converts: no text for a number, no truth
value for a whole number, no infinity.
"""

import json
import types
from functools import cache
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types

from hybridgen.system.errors import unknown

BOUNDS: Final = {
    "greater_than_equal": ("too small; at least", "ge"),
    "greater_than": ("too small; it must be above", "gt"),
    "less_than_equal": ("too large; at most", "le"),
    "less_than": ("too large; it must be below", "lt"),
}
NAMES: Final = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def accept(kind: Any, value: Any) -> Any:
    """`value` as a plain YAML value of the type `kind`: numbers converted where they may be, tuples as lists.

    Raises:
        ValueError: it is not of that type; the message is what the user reads.
    """
    from pydantic import ValidationError

    if isinstance(value, str) and value.lower() == "none" and value not in choices(kind):
        raise ValueError(f"'{value}' is a text here; write null for none")
    try:
        result = _checker(kind).validate_python(as_tuple(value))
    except ValidationError as error:
        raise ValueError(_sentence(kind, value, error.errors())) from None
    if isinstance(value, bool) and not isinstance(result, bool):  # True == 1 == Literal[1]
        raise ValueError(f"{given(value)}; needed: {described(kind)}")
    return as_list(result)


@cache
def _checker(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter  # late: `hybridgen list` must not wait for it

    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def choices(kind: Any) -> tuple[Any, ...]:
    """The values that the `Literal`s in a type list."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(choice for member in get_args(kind) for choice in choices(member))
    return ()


def described(kind: Any) -> str:
    """A type in words."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin is Annotated:
        return ", ".join((described(args[0]), *(_bound(limit) for limit in args[1:])))
    if origin is tuple:
        if len(args) == 2 and args[1] is ...:
            return f"a list, each entry {described(args[0])}"
        return f"a list of {len(args)}: {', '.join(described(arg) for arg in args)}"
    if origin in (Union, types.UnionType):
        return ", or ".join(described(arg) for arg in args)
    return NAMES.get(kind, str(kind))


def given(value: Any) -> str:
    """A value, and what it is when that is not to be seen."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, default=str)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    match value:
        case str():
            return f"{text} is a text"
        case dict():
            return f"{text} is a mapping"
        case list():
            return f"{text} is a list"
        case bool():
            return f"{text} is a truth value"
        case None:
            return "null is not a value here"
    return f"{text} is a {'whole number' if isinstance(value, int) else 'number'}"


def as_tuple(value: Any) -> Any:
    """Lists as tuples, all the way down."""
    return tuple(as_tuple(entry) for entry in value) if isinstance(value, list) else value


def as_list(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    return [as_list(entry) for entry in value] if isinstance(value, tuple | list) else value


def _sentence(kind: Any, value: Any, errors: list[Any]) -> str:
    """The one of pydantic's complaints that tells most, in our words."""
    if isinstance(value, list):
        errors = [e for e in errors if isinstance(e["loc"][-1] if e["loc"] else "", int)] or errors
    for error in errors:
        bound = BOUNDS.get(error["type"])
        if bound:
            limit = error["ctx"][bound[1]]
            return f"{_entry(error)}{error['input']} is {bound[0]} {limit:g}"
        if error["type"] == "finite_number":
            return f"{_entry(error)}{error['input']} is not finite; needed: {described(kind)}"
        if error["type"] == "literal_error" and isinstance(value, str):
            return unknown("value", value, choices(kind))
    return f"{given(value)}; needed: {described(kind)}"


def _entry(error: Any) -> str:
    place = error["loc"][-1] if error["loc"] else ""
    return f"entry {place + 1}: " if isinstance(place, int) else ""


def _bound(limit: Any) -> str:
    match limit:
        case annotated_types.Ge(ge=number):
            return f"at least {number}"
        case annotated_types.Gt(gt=number):
            return f"above {number}"
        case annotated_types.Le(le=number):
            return f"at most {number}"
        case annotated_types.Lt(lt=number):
            return f"below {number}"
    return str(limit)
