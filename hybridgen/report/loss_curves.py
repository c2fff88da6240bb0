"""The curves of a run, as SVG that takes the page's colours.

A value's name is `[train/|held_out/]name[/part]` or `..._scaleN`: values of one name share a panel, so that training
and held-out lie on each other; the parts are its lines. Scales have a panel of their own, and colours in their order.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes

from hybridgen.media.plots import LINES, RAMP, page_svg, strip_frame

SPLITS = ("train", "held_out")
BY_SCALE = " by scale"
WIDE_RANGE = 30.0  # largest value over the median from which on a logarithmic axis tells more
SIZE = (4.4, 2.5)  # inches

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
    """One panel as an SVG element in the inks of the page.

    Args:
        curves: the lines, by label.
        ordered: whether the lines have an order, which their colours then show.
    """
    inks = _ramp(len(curves)) if ordered else list(LINES)
    return page_svg(lambda figure: _draw(figure.subplots(), curves, inks), SIZE)


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
    strip_frame(axes)
    axes.set_xlabel("step")
    if len(curves) > 4:
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
    elif any(curves):
        axes.legend()
