"""Values against types: strict, with sentences."""

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le

from hybridgen.config.values import accept

SHARE = Annotated[float, Gt(0), Le(1)]


@pytest.mark.parametrize(
    ("kind", "value", "accepted"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, False, False),
        (str, "x", "x"),
        (int | None, None, None),
        (tuple[int, ...], [1, 2], [1, 2]),
        (tuple[float, float], [1, 2.5], [1.0, 2.5]),
        (SHARE | tuple[float, ...], [1, 2], [1.0, 2.0]),
        (Literal["a", "none"], "none", "none"),
        (tuple[tuple[int, ...], ...], [[1], [2, 3]], [[1], [2, 3]]),
    ],
)
def test_accepts(kind, value, accepted):
    result = accept(kind, value)
    assert result == accepted
    assert type(result) is type(accepted)


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        (Annotated[int, Ge(1)], 0, "0 is too small; at least 1"),
        (SHARE, 0, "0 is too small; it must be above 0"),
        (SHARE, 1.5, "1.5 is too large; at most 1"),
        (int, True, "true is a truth value; needed: a whole number"),
        (float, True, "true is a truth value; needed: a number"),
        (Literal[1, 2], True, "true is a truth value; needed: one of 1, 2"),
        (int, 3.0, "3.0 is a number; needed: a whole number"),
        (int, "7", "'7' is a text; needed: a whole number"),
        (str, 7, "7 is a whole number; needed: text"),
        (bool, "yes", "'yes' is a text; needed: true or false"),
        (int, None, "null is not a value here; needed: a whole number"),
        (float, float("nan"), "nan is not finite; needed: a number"),
        (float, float("inf"), "inf is not finite; needed: a number"),
        (Literal["one", "two"], "tow", "unknown value 'tow'. Did you mean 'two'?\n  known: one, two"),
        (str | None, "None", "'None' is a text here; write null for none"),
        (tuple[Annotated[int, Ge(1)], ...], [1, 0], "entry 2: 0 is too small; at least 1"),
        (tuple[int, int], [1], "[1] is a list; needed: a list of 2: a whole number, a whole number"),
        (int, {"a": 1}, '{"a": 1} is a mapping; needed: a whole number'),
        (float, 10**400, "1" + 56 * "0" + "... is a whole number; needed: a number"),
    ],
)
def test_refuses_with_a_sentence(kind, value, sentence):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        accept(kind, value)
    assert str(caught.value) == sentence
