"""Settings that change from step to step."""

from collections.abc import Sequence
from typing import Literal, TypeVar

Number = TypeVar("Number", int, float)


def at(value: Number | Sequence[Number], j: int) -> Number:
    """The setting of step j: a number holds for all, a list gives one a step and its last one goes on."""
    if isinstance(value, Sequence):
        return value[min(j, len(value) - 1)]
    return value


def guidance_at(
    value: float | Sequence[float], j: int, steps: int, ramp: Literal["constant", "linear"]
) -> float:
    """Guidance of step j of `steps`; "linear" grows from 1 at the first step to the full value at the last."""
    w = at(value, j)
    if ramp == "constant" or steps == 1:
        return w
    return 1.0 + (w - 1.0) * j / (steps - 1)
