"""Parallel coordinates: every trial as a line, through what it was set to and what came of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib import rcParams
from matplotlib.axes import Axes

from hybridgen.system.text import number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

ARROWS = {"minimize": " ↓", "maximize": " ↑"}
MOST_TICKS = 6  # values that are all written at their axis


@dataclass(frozen=True)
class Column:
    """An axis of the parallel coordinates: where each trial lies on it, from 0 to 1, and what is written there."""

    title: str
    places: Mapping[int, float]  # by trial
    ticks: Mapping[str, float]


def parallel(axes: Axes, trials: Sequence[int], columns: Sequence[Column], best: set[int]) -> None:
    """A line a trial through what it was set to and what came of it; the best on top."""
    for trial in sorted(trials, key=lambda number: number in best):
        at = [(i, column.places[trial]) for i, column in enumerate(columns) if trial in column.places]
        style: Any = {"color": "C1", "linewidth": 1.4} if trial in best else {"color": "C0", "alpha": 0.4}
        axes.plot(*zip(*at, strict=True), **style)
    ground = {"facecolor": rcParams["axes.facecolor"], "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    for i, column in enumerate(columns):
        axes.axvline(i, color=rcParams["grid.color"], linewidth=1, zorder=0)
        for text, place in column.ticks.items():
            axes.annotate(text, (i, place), (4, 0), textcoords="offset points", fontsize=8, va="center", bbox=ground)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.xaxis.tick_top()
    axes.set(xlim=(-0.3, len(columns) - 0.6), ylim=(-0.05, 1.05), yticks=[])
    axes.set_xticks(range(len(columns)), [column.title for column in columns], va="bottom")


def columns(trials: "Sequence[FrozenTrial]", directions: Mapping[str, str]) -> list[Column]:
    """The parameters that varied, then the objectives."""
    found = []
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        values = {trial.number: trial.params[name] for trial in trials if name in trial.params}
        if len(set(values.values())) > 1:
            found.append(_column(name.replace(".", "\n"), values))
    for i, (name, way) in enumerate(directions.items()):
        found.append(_column(name + ARROWS[way], {trial.number: trial.values[i] for trial in trials}))
    return found


def _column(title: str, values: Mapping[int, Any]) -> Column:
    """Numbers by their size, on a logarithm where they are far apart; anything else in order of its appearance."""
    different = [*dict.fromkeys(values.values())]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in different):
        steps = {value: i / max(1, len(different) - 1) for i, value in enumerate(different)}
        return Column(title, {n: steps[v] for n, v in values.items()}, {str(v): place for v, place in steps.items()})
    scaled: Callable[[float], float] = math.log if is_wide(different) else float
    low, high = min(different), max(different)
    width = scaled(high) - scaled(low)

    def place(value: float) -> float:
        return (scaled(value) - scaled(low)) / width if width else 0.5

    shown = different if len(different) <= MOST_TICKS else [low, high]
    return Column(title, {n: place(v) for n, v in values.items()}, {number(v): place(v) for v in shown})


def is_wide(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis tells more: positive, and more than a factor of 30 from end to end."""
    return min(values) > 0 and max(values) / min(values) > 30
