"""The curves of a run, as SVG that takes the page's colours.

A value's name is `[train/|held_out/]name[/part]`: values of one name share a panel, so that training and held-out lie
on each other; the parts (scales, say) are its lines.
"""

import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SPLITS = ("train", "held_out")
LINES = tuple(f"#0000{i:02x}" for i in range(1, 9))  # stand-ins in the SVG, each replaced by a colour of the page
INK, RULE = "#00000a", "#00000b"
WIDE_RANGE = 30.0  # largest over smallest value from which on a logarithmic axis tells more
STYLE = {
    "svg.fonttype": "none",  # text stays text: it scales, is searched and takes the page's font
    "svg.hashsalt": "hybridgen",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

Curve = list[tuple[int, float]]


def panels(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Curve]]]:
    """Stage -> panel -> line -> [(step, value)], from the lines of a journal; what is not finite is left out."""
    found: dict[str, dict[str, dict[str, Curve]]] = {}
    for entry in lines:
        for name, value in entry["values"].items():
            if isinstance(value, int | float) and math.isfinite(value):
                panel, line = split_name(name)
                curves = found.setdefault(entry["stage"], {}).setdefault(panel, {})
                curves.setdefault(line, []).append((entry["step"], float(value)))
    return found


def split_name(name: str) -> tuple[str, str]:
    """Panel and line of a value: `held_out/ce/3` -> (`ce`, `held_out 3`)."""
    parts = name.split("/")
    split = [parts.pop(0)] if parts[0] in SPLITS and len(parts) > 1 else []
    return parts[0], " ".join([*split, *parts[1:]]).replace("_", " ")


def curve_svg(curves: Mapping[str, Curve]) -> str:
    """One panel as an SVG element: its inks are `currentColor` and the page's --rule, --line-1 ... --line-8."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        _draw(figure.subplots(), curves)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(RULE, "var(--rule)")
    for number, ink in enumerate(LINES, start=1):
        svg = svg.replace(ink, f"var(--line-{number})")
    return svg.replace("<svg ", '<svg role="img" ', 1)


def _draw(axes: Axes, curves: Mapping[str, Curve]) -> None:
    for number, (label, curve) in enumerate(curves.items()):
        steps, values = zip(*sorted(curve, key=lambda point: point[0]), strict=True)
        dashes = "-" if number < len(LINES) else "--"
        axes.plot(
            steps, values, dashes, color=LINES[number % len(LINES)], linewidth=1.5, label=label or None,
            marker="o" if len(values) == 1 else "", markersize=4,
        )  # fmt: skip
    values = [abs(value) for curve in curves.values() for _, value in curve]
    if min(values) > 0 and max(values) / min(values) > WIDE_RANGE:
        axes.set_yscale("log")
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("step", fontsize=8)
    if any(curves):
        axes.legend(frameon=False, fontsize=8, ncols=1 if len(curves) < 5 else 2, handlelength=1.2)
