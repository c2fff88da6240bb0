"""Drawings in a page's inks: as SVG that follows the page, light or dark, and as a PNG for everywhere else.

A drawing is a function of a figure. It takes its colours from matplotlib's settings, C0 ... C7 being the lines' ones,
so that the same function serves both: for SVG the settings are stand-ins, each replaced by a colour of page.css.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridgen.system.files import atomic_path

LIGHT = ("#0b6a79", "#c4572c", "#6a4fa3", "#8a7a12", "#2f7d3b", "#b03a6f", "#3b66b8", "#7a5a44")  # as page.css has them
LINES = tuple(f"#0000{i:02x}" for i in range(1, len(LIGHT) + 1))  # stand-ins for --line-1 ...
RAMP = tuple(f"#0001{i:02x}" for i in range(0, 101, 5))  # the same for a place, in per cent, between two of them
OMITTED_METADATA = ("Date", "Creator", "Format", "Type")  # what matplotlib would write into a block of its own
INK, RULE, PAPER = "#00000a", "#00000b", "#00000c"

Drawing = Callable[[Figure], None]


def page_svg(draw: Drawing, size: tuple[float, float]) -> str:
    """An SVG element in `currentColor` and the page's --paper, --rule, --line-1 ... --line-8; `size` in inches."""
    with matplotlib.rc_context(_settings(INK, RULE, PAPER, LINES)):
        text = io.StringIO()
        _drawn(draw, size).savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(OMITTED_METADATA))
    svg = text.getvalue()
    svg = '<svg role="img" ' + svg[svg.index("<svg ") + 5 :]
    for ink, name in ((INK, "currentColor"), (RULE, "var(--rule)"), (PAPER, "var(--paper)")):
        svg = svg.replace(ink, name)
    for number, ink in enumerate(LINES, start=1):
        svg = svg.replace(ink, f"var(--line-{number})")
    for number, ink in enumerate(RAMP):
        svg = svg.replace(ink, f"color-mix(in oklab, var(--line-2) {5 * number}%, var(--line-1))")
    return svg


def save_plot(draw: Drawing, size: tuple[float, float], stem: Path) -> Path:
    """The same drawing as a file, on white; the path written."""
    with matplotlib.rc_context(_settings("#45484d", "#dedfda", "#ffffff", LIGHT)):
        return save_figure(_drawn(draw, size), stem, 150, metadata={"Software": None})


def save_figure(figure: Figure, stem: Path, dpi: int, **how: Any) -> Path:
    """A figure of matplotlib as a file, whole or not at all; the path written."""
    path = stem.with_name(f"{stem.name}.png")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, **how)
    return path


def strip_frame(axes: Axes) -> None:
    """A grid and no frame: the look of all drawings."""
    axes.grid(linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8)


def _drawn(draw: Drawing, size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    draw(figure)
    return figure


def _settings(ink: str, rule: str, paper: str, lines: tuple[str, ...]) -> Any:
    return {
        "svg.fonttype": "none",  # text stays text: it scales, is searched and takes the page's font
        "svg.hashsalt": "hybridgen",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.labelsize": 8,
        "axes.formatter.limits": (-5, 7),  # powers of ten are written out where they can be read
        "axes.formatter.useoffset": False,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": rule,
        "axes.facecolor": paper,
        "axes.prop_cycle": cycler(color=lines),
        "legend.frameon": False,
        "legend.fontsize": 8,
        "legend.handlelength": 1.2,
    }
