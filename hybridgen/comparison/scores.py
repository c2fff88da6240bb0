"""Figures side by side, each marked where its protocol is not that of the figure it stands beside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridgen.comparison.differences import worded
from hybridgen.comparison.entries import Entry
from hybridgen.evaluation.base import Interval
from hybridgen.evaluation.figure_spec import FigureSpec, full_title, in_order, is_detail
from hybridgen.evaluation.protocol import Figure, comparable


@dataclass(frozen=True)
class Cell:
    """A figure of an entry.

    Args:
        value: the figure, or the mean over the runs of the entry.
        interval: 95 %: the figure's own, or Student's over the runs; None where there is neither.
        runs: how many runs have it.
        differs: fields of the protocol that differ, "sampler.head_steps: 2 instead of 8"; empty when it may be
            compared with the first entry that has this figure.
    """

    value: float
    interval: tuple[float, float] | None
    runs: int
    differs: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """What stands beside a figure that must not be compared; empty for one that may."""
        return f"not comparable: {', '.join(self.differs)}" if self.differs else ""


def side_by_side(entries: Sequence[Entry]) -> dict[str, list[Cell | None]]:
    """Figure name -> a cell for each entry, None where an entry has not got it."""
    return {name: _row(name, entries) for name in _names(entries)}


def specs_of(all_figures: Iterable[Mapping[str, Figure]]) -> dict[str, FigureSpec]:
    """How figures are shown, by name: as the first of these that was stored with a specification says."""
    found: dict[str, FigureSpec] = {}
    for figures in all_figures:
        for name, shown in figures.items():
            if shown.spec is not None:
                found.setdefault(name, shown.spec)
    return found


def titles_of(entries: Sequence[Entry]) -> dict[str, str]:
    """The title of each figure of the entries; its name where none was stored."""
    specs = specs_of(figures for entry in entries for figures in entry.figures)
    return {name: full_title(name, specs) for name in _names(entries)}


def chief_figures(entries: Sequence[Entry]) -> list[str]:
    """Names of the figures that a short table shows; all but details where none was stored with a specification."""
    specs = specs_of(figures for entry in entries for figures in entry.figures)
    return in_order(specs) if specs else [name for name in _names(entries) if not is_detail(name)]


def average(values: Sequence[float]) -> Interval:
    """The mean and its 95 % interval by Student's t, for values of independent runs; at least two."""
    from scipy.special import stdtrit  # late: a comparison of single runs does without

    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(stdtrit(count - 1, 0.975)) * (variance / count) ** 0.5
    return Interval(mean, mean - half, mean + half)


def protocol_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields in which protocol b is not a, as far down as both have something there; empty when figures compare."""
    return tuple(line for name in comparable(a, b) for line in _below(name, a.get(name, "-"), b.get(name, "-")))


def _names(entries: Sequence[Entry]) -> list[str]:
    return [*dict.fromkeys(name for entry in entries for figures in entry.figures for name in figures)]


def _row(name: str, entries: Sequence[Entry]) -> list[Cell | None]:
    shown = [[figures[name] for figures in entry.figures if name in figures] for entry in entries]
    first = next(members[0] for members in shown if members)
    return [_cell(members, first.protocol) if members else None for members in shown]


def _cell(members: Sequence[Figure], protocol: Mapping[str, Any]) -> Cell:
    """All members are held against the protocol, so that a mean over different ones is marked too."""
    marks = (line for member in members for line in protocol_differences(protocol, member.protocol))
    differs = tuple(dict.fromkeys(marks))
    if len(members) == 1:
        return Cell(members[0].value, members[0].interval, 1, differs)
    mean = average([member.value for member in members])
    return Cell(mean.value, (mean.low, mean.high), len(members), differs)


def _below(name: str, a: Any, b: Any) -> list[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [
            line
            for key in dict.fromkeys([*a, *b])
            if a.get(key, "-") != b.get(key, "-") or (key in a) != (key in b)
            for line in _below(f"{name}.{key}", a.get(key, "-"), b.get(key, "-"))
        ]
    return [f"{name}: {worded(b)} instead of {worded(a)}"]
