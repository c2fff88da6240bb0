"""Kinds of arguments: a count, a time, a setting."""

import argparse
import contextlib
from typing import Any

UNITS = {"s": 1, "min": 60, "h": 3600}


def count(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return int(text)


def duration(text: str) -> float:
    """Seconds of 900, 15min or 2h."""
    unit = next((unit for unit in ("min", "h", "s") if text.endswith(unit)), "s")
    try:
        return float(text.removesuffix(unit)) * UNITS[unit]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time such as 900, 15min or 2h") from None


def setting(text: str) -> tuple[str, Any]:
    """A key and a plain value: a number, true or false, else the text."""
    key, equals, value = text.partition("=")
    if not key.isidentifier() or not equals:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    for convert in (int, float):
        with contextlib.suppress(ValueError):
            return key, convert(value)
    return key, {"true": True, "false": False}.get(value, value)
