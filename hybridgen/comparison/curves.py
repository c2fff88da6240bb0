"""Curves of several runs, one on top of the other: as numbers for the page, and as a file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybridgen.comparison.entries import Entry
from hybridgen.media.plots import LIGHT, save_figure, strip_frame
from hybridgen.report.loss_curves import WIDE_RANGE, Curve, panels

MOST = 400  # points a curve on the page; more cannot be told apart
COLUMNS = 3


@dataclass(frozen=True)
class Line:
    """The curve of an entry: its mean over runs, and between which values the runs lie (the same for one run)."""

    entry: int
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Overlay:
    """A panel: one value of one stage, a line for each entry that has it."""

    title: str
    lines: list[Line]
    log: bool  # whether a logarithmic axis tells more

    def to_json(self) -> dict[str, Any]:
        """What the page's script reads."""
        return asdict(self)


def overlays(entries: Sequence[Entry]) -> list[Overlay]:
    """All panels in which something can be seen: at least two points, and no curve that all entries share."""
    found: dict[str, dict[int, list[Curve]]] = {}
    for index, entry in enumerate(entries):
        for run in entry.runs:
            for title, curve in _named(panels(run.metrics())):
                found.setdefault(title, {}).setdefault(index, []).append(sorted(curve))
    shown = []
    for title, by_entry in found.items():
        lines = [_line(index, curves) for index, curves in by_entry.items()]
        if max(len(line.steps) for line in lines) > 1 and not _shared(lines, len(entries)):
            shown.append(Overlay(title, lines, _is_wide(lines)))
    return sorted(shown, key=_order)


def draw_curves(overlaid: Sequence[Overlay], names: Sequence[str], stem: Path) -> Path:
    """All panels in one file, with one legend; the bands are from the lowest to the highest run. The path written."""
    rows = -(-len(overlaid) // COLUMNS)
    with matplotlib.rc_context({"font.size": 8, "grid.color": "#dedfda"}):
        figure = Figure(figsize=(4.2 * COLUMNS, 2.6 * rows + 0.3 * len(names) / COLUMNS + 0.4), layout="constrained")
        for number, overlay in enumerate(overlaid, start=1):
            _draw(figure.add_subplot(rows, COLUMNS, number), overlay)
        handles = [Line2D([], [], **_style(i)) for i in range(len(names))]
        figure.legend(handles, names, loc="outside upper left", ncols=COLUMNS, frameon=False)
        return save_figure(figure, stem, 110)


def _named(found: Mapping[str, Mapping[str, Mapping[str, Curve]]]) -> list[tuple[str, Curve]]:
    return [
        (f"{stage}: {panel} {line}".replace("_", " ").strip(), curve)
        for stage, by_panel in found.items()
        for panel, by_line in by_panel.items()
        for line, curve in by_line.items()
    ]


def _line(entry: int, curves: Sequence[Curve]) -> Line:
    """Mean, lowest and highest at the steps that all curves have."""
    tables = [dict(curve) for curve in curves]
    steps = [step for step, _ in curves[0] if all(step in table for table in tables)]
    steps = steps[:: -(-len(steps) // MOST) or 1]
    columns = [[table[step] for table in tables] for step in steps]
    mean = [sum(column) / len(column) for column in columns]
    return Line(entry, steps, mean, [min(c) for c in columns], [max(c) for c in columns])


def _shared(lines: Sequence[Line], entries: int) -> bool:
    """Whether this is one curve: a tokenizer that all the runs took from the same folder."""
    return entries > 1 and len(lines) == entries and all(line.mean == lines[0].mean for line in lines)


def _is_wide(lines: Sequence[Line]) -> bool:
    values = sorted(value for line in lines for value in line.mean)
    return values[0] > 0 and values[-1] / values[len(values) // 2] > WIDE_RANGE


def _order(overlay: Overlay) -> tuple[bool, bool, bool]:
    """The generator's held-out curves first, single scales last."""
    title = overlay.title
    return " by scale" in title, not title.startswith("generator"), "held out" not in title


def _style(entry: int) -> dict[str, Any]:
    dashes = ("-", "--", ":")[entry // len(LIGHT) % 3]
    return {"color": LIGHT[entry % len(LIGHT)], "linestyle": dashes, "linewidth": 1.3}


def _draw(axes: Axes, overlay: Overlay) -> None:
    for line in overlay.lines:
        axes.plot(line.steps, line.mean, **_style(line.entry))
        if line.low != line.high:
            axes.fill_between(line.steps, line.low, line.high, color=_style(line.entry)["color"], alpha=0.15, lw=0)
    if overlay.log:
        axes.set_yscale("log")
    axes.set_title(overlay.title, fontsize=8, loc="left")
    axes.set_xlabel("step")
    strip_frame(axes)
