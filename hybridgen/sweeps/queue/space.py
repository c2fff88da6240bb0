"""A space of trials: dotted keys of an experiment, each with a range or with choices."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where neither bound has a decimal point."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return all(isinstance(v, int) for v in (self.low, self.high, self.step if self.step is not None else 1))

    @property
    def ends(self) -> tuple[Value, ...]:
        """What must be acceptable for the range to be so."""
        return self.low, self.high

    @property
    def grid(self) -> tuple[Value, ...] | None:
        """All its values, where a step makes them countable."""
        if self.step is None:
            return None
        count = round((self.high - self.low) / self.step + 1e-9) + 1
        values = (self.low + i * self.step for i in range(count))
        return tuple(v for v in values if v <= self.high + 1e-9)


@dataclass(frozen=True)
class Choices:
    """The values of a list; what is no plain value, a list or a card with options, goes by its text."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """All of them."""
        return self.labels

    @property
    def labels(self) -> tuple[Value, ...]:
        """As they are stored with a trial."""
        return tuple(v if isinstance(v, Value) else json.dumps(v) for v in self.values)

    @property
    def grid(self) -> tuple[Value, ...]:
        """All of them."""
        return self.labels


Dimension = Range | Choices
Params = Mapping[str, Value]


class Space:
    """What a trial's parameters may be, and which overrides they mean.

    Args:
        dimensions: by dotted key, or by any other name where `meaning` says what a choice means.
        meaning: overrides of a choice, by dimension and label; without it a parameter is an override of its key.
    """

    def __init__(
        self,
        dimensions: Mapping[str, Dimension],
        meaning: Mapping[str, Mapping[Value, tuple[str, ...]]] | None = None,
    ) -> None:
        self.dimensions, self.meaning = dict(dimensions), meaning or {}

    def overrides(self, params: Params) -> list[str]:
        """The overrides of a trial, in the order of the dimensions."""
        said: list[str] = []
        for name, dimension in self.dimensions.items():
            value = params[name]
            if name in self.meaning:
                said += self.meaning[name][value]
            else:
                said.append(override(name, value, dimension))
        return said

    @property
    def size(self) -> int | None:
        """How many combinations there are; None when a range has no step."""
        grids = [d.grid for d in self.dimensions.values()]
        return None if any(g is None for g in grids) else prod(len(g) for g in grids if g is not None)

    def grid(self, slow: tuple[str, ...] = ()) -> list[dict[str, Value]]:
        """All combinations; those of the names in `slow` change last."""
        names = sorted(self.dimensions, key=lambda name: name not in slow)
        values = [self.dimensions[name].grid or () for name in names]
        return [dict(zip(names, row, strict=True)) for row in itertools.product(*values)]

    def to_json(self) -> dict[str, Any]:
        """What names the space."""
        shown = {
            name: {"low": d.low, "high": d.high, "log": d.log, "step": d.step} if isinstance(d, Range) else [*d.labels]
            for name, d in self.dimensions.items()
        }
        return {"over": shown, "meaning": {n: {str(k): [*v] for k, v in m.items()} for n, m in self.meaning.items()}}


def override(key: str, value: Value, dimension: Dimension) -> str:
    """The text `key=value` that the command line takes."""
    if isinstance(dimension, Choices) and isinstance(value, str):
        chosen = dimension.values[dimension.labels.index(value)]
        return f"{key}={chosen if isinstance(chosen, str) and _is_plain(chosen) else json.dumps(chosen)}"
    return f"{key}={json.dumps(value)}"


def _is_plain(text: str) -> bool:
    """Whether a text reads back as itself without quotes."""
    from hybridgen.config.yaml_text import Place, read_value  # late: a circle of layers would follow

    try:
        return bool(read_value(text, Place(""), "x").values == {"x": text})
    except Exception:
        return False
