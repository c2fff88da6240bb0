"""Plots of a study: front, history, importances (by Optuna), parallel coordinates; as files and as SVG.

Optuna's own plots are not used: they have a grey ground on light and dark pages alike, cut long names off, and draw the
best trials of a maximised objective in white.
"""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hybridgen.media.plots import Drawing, page_svg, save_plot, strip_frame
from hybridgen.sweeps.queue.study import Study
from hybridgen.sweeps.results.parallel import ARROWS, columns, is_wide, parallel
from hybridgen.system.text import number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST = 2  # complete trials below which there is nothing to see
PANEL, WIDE = (4.4, 2.7), (9.0, 3.4)  # inches
AXES: tuple[Literal["x", "y"], ...] = ("x", "y")
LABEL, COLUMN = 36, 18  # letters in a line of an axis' label, and above a column of the parallel coordinates
NO_TITLES: Mapping[str, str] = {}
DOTS: Any = {"color": "C0", "alpha": 0.55, "markersize": 4.5, "markeredgewidth": 0}


@dataclass(frozen=True)
class Plot:
    """A drawing of a study.

    Args:
        title: heading.
        name: of its file, without ending.
        size: width and height in inches.
        draw: draws it.
    """

    title: str
    name: str
    size: tuple[float, float]
    draw: Drawing


def draw_plots(study: Study, folder: Path, titles: Mapping[str, str] = NO_TITLES) -> dict[Plot, str]:
    """SVG for the page, and files in `folder`; plots that the study has too few trials for are left out.

    `titles` are those of the objectives, by name.
    """
    plots = study_plots(study, titles)
    for plot in plots:
        save_plot(plot.draw, plot.size, folder / plot.name)
    return {plot: page_svg(plot.draw, plot.size) for plot in plots}


def study_plots(study: Study, titles: Mapping[str, str] = NO_TITLES) -> list[Plot]:
    """The plots that the study has enough trials for; an objective without a title is shown by its name."""
    trials = [trial for trial in study.counted() if trial.state.name == "COMPLETE"]
    if len(trials) < FEWEST:
        return []
    directions = _by_title(study.plan.directions, titles)
    several = len(directions) > 1
    best = {t.number for t in (study.study.best_trials if several else [study.study.best_trial])}
    plots = [Plot("Front", "pareto", WIDE, _on_axes(_front, trials, directions, best))] if len(directions) == 2 else []
    for i, (name, way) in enumerate(directions.items()):
        end = f"_{i}" if several else ""
        values = {trial.number: trial.values[i] for trial in trials}
        plots.append(Plot(f"History of {name}", f"history{end}", PANEL, _on_axes(_history, values, name, way)))
        if found := _importances(study, i):
            plots.append(Plot(f"Importance for {name}", f"importances{end}", PANEL, _on_axes(_bars, found)))
    axes = columns(trials, {textwrap.fill(title, COLUMN): way for title, way in directions.items()})
    if len(axes) > len(directions):
        plots.append(
            Plot("Parallel coordinates", "parallel", WIDE, _on_axes(parallel, [t.number for t in trials], axes, best))
        )
    return plots


def _by_title(directions: Mapping[str, str], titles: Mapping[str, str]) -> dict[str, str]:
    """Directions by the objectives' titles; a title that two of them share is followed by the name."""
    shown = {name: titles.get(name, name) for name in directions}
    twice = {title for title in shown.values() if [*shown.values()].count(title) > 1}
    return {f"{shown[n]} ({n})" if shown[n] in twice else shown[n]: way for n, way in directions.items()}


def _on_axes(draw: Any, *about: Any) -> Drawing:
    return lambda figure: draw(figure.subplots(), *about)


def _importances(study: Study, index: int) -> dict[str, float]:
    """How much of an objective's variation each of several parameters explains; empty where it cannot be told."""
    from optuna.importance import get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls the target of several objectives experimental
        try:
            found = get_param_importances(study.study, target=partial(_value, index))
        except (ValueError, RuntimeError, ZeroDivisionError):  # a parameter never varied
            return {}
    varied = len({trial.values[index] for trial in study.counted() if trial.state.name == "COMPLETE"}) > 1
    return dict(found) if varied and len(found) > 1 else {}


def _value(index: int, trial: "FrozenTrial") -> float:
    return float(trial.values[index])


def _front(axes: Axes, trials: "Sequence[FrozenTrial]", directions: Mapping[str, str], best: set[int]) -> None:
    """Every trial by its two objectives; those that no other beats in both are joined and numbered."""
    points = {trial.number: (trial.values[0], trial.values[1]) for trial in trials}
    others = [point for trial, point in points.items() if trial not in best]
    front = sorted((points[trial], trial) for trial in best & points.keys())
    if others:
        axes.plot(*zip(*others, strict=True), "o", **DOTS, label="trial")
    axes.plot(*zip(*(point for point, _ in front), strict=True), "o-", color="C1", linewidth=1, label="front")
    for name, values, axis in zip(directions, zip(*points.values(), strict=True), AXES, strict=True):
        axes.set(**{f"{axis}label": textwrap.fill(name + ARROWS[directions[name]], LABEL)})
        _scale(axes, axis, values)
    axes.margins(0.1)
    _name_points(axes, front)
    axes.legend()
    strip_frame(axes)


def _name_points(axes: Axes, points: Sequence[tuple[tuple[float, float], int]]) -> None:
    """Numbers beside points, as far as there is room for them."""
    last = (-1.0, -1.0)
    for point, trial in points:
        x, y = axes.transAxes.inverted().transform(axes.transData.transform(point))
        if abs(x - last[0]) > 0.03 or abs(y - last[1]) > 0.08:
            axes.annotate(str(trial), point, (5, 5), textcoords="offset points", fontsize=7.5, color="C1")
            last = x, y


def _scale(axes: Axes, axis: Literal["x", "y"], values: Sequence[float]) -> None:
    """A logarithm where it tells more; else whole numbers by thousands, 2,200,000, where matplotlib takes powers."""
    if is_wide(values):
        axes.set(**{f"{axis}scale": "log"})
    else:
        (axes.xaxis if axis == "x" else axes.yaxis).set_major_formatter(lambda value, _: number(value))


def _history(axes: Axes, values: Mapping[int, float], name: str, way: str) -> None:
    """The objective of each trial, and the best up to it."""
    numbers = sorted(values)
    better = min if way == "minimize" else max
    so_far = [better(values[n] for n in numbers[: i + 1]) for i in range(len(numbers))]
    axes.plot(numbers, [values[n] for n in numbers], "o", **DOTS, label="trial")
    axes.step(numbers, so_far, color="C1", linewidth=1.5, where="post", label="best so far")
    _scale(axes, "y", list(values.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel=textwrap.fill(name + ARROWS[way], LABEL))
    axes.margins(0.08)
    axes.legend()
    strip_frame(axes)


def _bars(axes: Axes, importances: Mapping[str, float]) -> None:
    """A bar each, its whole name above it."""
    for place, (name, share) in enumerate(importances.items()):
        axes.barh(place, share, height=0.3, color="C0")
        axes.text(0, place - 0.24, name, fontsize=8)
        axes.text(share + 0.01, place, f"{share:.0%}", fontsize=8, va="center")
    strip_frame(axes)
    axes.set(xlim=(0, 1.1), ylim=(len(importances) - 0.5, -0.7), yticks=[], xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("share of the variation over trials (fANOVA)")
