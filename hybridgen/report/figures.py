"""The curves of a run, as SVG that takes the page's colours.

A value's name is `[train/|held_out/]name[/part]` or `..._scaleN`: values of one name share a panel, so that training
and held-out lie on each other; the parts are its lines. Scales have a panel of their own, and colours in their order.
"""

import io
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SPLITS = ("train", "held_out")
LINES = tuple(f"#0000{i:02x}" for i in range(1, 9))  # stand-ins in the SVG, each replaced by a colour of the page
BY_SCALE = " by scale"
RAMP = tuple(f"#0001{i:02x}" for i in range(0, 101, 5))  # the same for a place, in per cent, between two colours
INK, RULE = "#00000a", "#00000b"
WIDE_RANGE = 30.0  # largest value over the median from which on a logarithmic axis tells more
STYLE: Any = {
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
    name, _, scale = parts[0].partition("_scale")
    if scale.isdigit():
        parts = [name + BY_SCALE, scale, *parts[1:]]
    return parts[0], " ".join([*split, *parts[1:]]).replace("_", " ")


def curve_svg(curves: Mapping[str, Curve], ordered: bool = False) -> str:
    """One panel as an SVG element: its inks are `currentColor` and the page's --rule, --line-1 ... --line-8.

    Args:
        curves: the lines, by label.
        ordered: whether the lines have an order, which their colours then show.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 2.5), layout="constrained")
        _draw(figure.subplots(), curves, _ramp(len(curves)) if ordered else list(LINES))
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(RULE, "var(--rule)")
    for number, ink in enumerate(LINES, start=1):
        svg = svg.replace(ink, f"var(--line-{number})")
    for number, ink in enumerate(RAMP):
        svg = svg.replace(ink, f"color-mix(in oklab, var(--line-2) {5 * number}%, var(--line-1))")
    return svg.replace("<svg ", '<svg role="img" ', 1)


def _ramp(count: int) -> list[str]:
    return [RAMP[round(i * (len(RAMP) - 1) / max(1, count - 1))] for i in range(count)]


def _draw(axes: Axes, curves: Mapping[str, Curve], inks: list[str]) -> None:
    for number, (label, curve) in enumerate(curves.items()):
        steps, values = zip(*sorted(curve, key=lambda point: point[0]), strict=True)
        dashes = "-" if number < len(inks) else "--"
        axes.plot(
            steps, values, dashes, color=inks[number % len(inks)], linewidth=1.5, label=label or None,
            marker="o" if len(values) == 1 else "", markersize=4,
        )  # fmt: skip
    everything = [value for curve in curves.values() for _, value in curve]
    if min(everything) > 0 and max(everything) / statistics.median(everything) > WIDE_RANGE:
        axes.set_yscale("log")
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=8)
    axes.set_xlabel("step", fontsize=8)
    if len(curves) > 4:
        axes.legend(frameon=False, fontsize=7.5, handlelength=1.2, loc="center left", bbox_to_anchor=(1, 0.5))
    elif any(curves):
        axes.legend(frameon=False, fontsize=8, handlelength=1.2)
