"""A comparison as a folder: compare.html with everything, and its parts as files for papers and scripts."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridgen.comparison.curves import draw_curves, overlays
from hybridgen.comparison.entries import Entry, label
from hybridgen.comparison.page import page
from hybridgen.comparison.samples import draw_rows, rows_sheet
from hybridgen.comparison.scores import Cell, titles_of
from hybridgen.system.files import write_atomic

Changed = Mapping[str, Sequence[str]]
Figures = Mapping[str, Sequence[Cell | None]]


def write_comparison(
    out: Path, entries: Sequence[Entry], changed: Changed, figures: Figures, *,
    count: int, seed: int, registries: Sequence[Path] = (), say: Callable[[str], None],
) -> list[Path]:  # fmt: skip
    """Writes compare.html, compare.json, the curves and a sheet of samples; the paths of those that there are.

    Args:
        out: the folder.
        entries, changed, figures: what is compared, in which keys it differs, what was measured.
        count: samples of each entry; 0 draws none.
        seed: of the first of them.
        registries: parts that the runs named.
        say: is told how drawing goes.
    """
    written = [out / "compare.html", out / "compare.json"]
    overlaid = overlays(entries)
    rows = draw_rows(entries, count, seed, registries, say) if count else []
    write_atomic(written[0], page(entries, changed, figures, overlaid, rows, seed))
    write_atomic(written[1], json.dumps(as_json(entries, changed, figures), indent=1) + "\n")
    if overlaid:
        written.append(draw_curves(overlaid, [entry.name for entry in entries], out / "curves"))
    sheet = rows_sheet(rows, seed)
    if sheet is not None:
        written.append(sheet.save(out / "samples"))
    return written


def as_json(entries: Sequence[Entry], changed: Changed, figures: Figures) -> dict[str, Any]:
    """Everything that is said in words or numbers; lists are in the order of `entries`."""
    return {
        "entries": [
            {"name": each.name, "status": each.status, "runs": [label(run) for run in each.runs]} for each in entries
        ],
        "differences": {key: list(values) for key, values in changed.items()},
        "titles": titles_of(entries),
        "figures": {name: [cell and _cell(cell) for cell in cells] for name, cells in figures.items()},
    }


def _cell(cell: Cell) -> dict[str, Any]:
    interval = cell.interval and list(cell.interval)
    return {"value": cell.value, "interval": interval, "runs": cell.runs, "not_comparable": list(cell.differs)}
