"""A table like a paper's: variants by figures, mean +/- 95 % interval, the best in bold; Markdown, LaTeX, CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridgen.evaluation.figure_spec import Better, FigureSpec, full_title
from hybridgen.sweeps.results.statistics import BySeed, Compared, Mean, compare, mean

COSTS = ("parameters/total", "macs", "seconds_per_sample")  # the last columns
SAME = "not separable at this n"


@dataclass(frozen=True)
class Cell:
    """One figure of one variant."""

    mean: Mean
    best: bool = False
    compared: Compared | None = None  # with the base; None for the base itself, and for costs


@dataclass
class Table:
    """Rows are variants; the first columns are figures, the last ones costs; `titles` are those of both."""

    base: str
    columns: dict[str, Better]
    costs: list[str]
    titles: Mapping[str, str]
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)  # by variant: what was resized, what failed

    @property
    def runs(self) -> list[int]:
        """How many seeds the variants have."""
        return sorted({cell.mean.n for row in self.rows.values() for name, cell in row.items() if name in self.columns})


def make_table(
    figures: Mapping[str, Mapping[int, Mapping[str, float]]],
    columns: Sequence[str],
    base: str,
    specs: Mapping[str, FigureSpec],
) -> Table:
    """The table of `figures[variant][seed][name]`; no value of a figure without a specification is the best one."""
    ways = {name: specs[name].better if name in specs else "" for name in columns}
    table = Table(base, ways, [*COSTS], {name: full_title(name, specs) for name in (*columns, *COSTS)})
    for variant, by_seed in figures.items():
        values = {name: [f[name] for f in by_seed.values() if name in f] for name in [*columns, *COSTS]}
        table.rows[variant] = {name: Cell(mean(found)) for name, found in values.items()}
    for name, way in table.columns.items():
        _compare(table, figures, name, way)
    return table


def _compare(table: Table, figures: Mapping[str, Mapping[int, Mapping[str, float]]], name: str, way: Better) -> None:
    """Marks the best of a column, and compares it with the base."""
    columns = {v: {seed: f[name] for seed, f in runs.items() if name in f} for v, runs in figures.items()}
    base: BySeed = columns.get(table.base, {})
    compared = compare(base, {variant: column for variant, column in columns.items() if variant != table.base})
    means = {v: row[name].mean.value for v, row in table.rows.items() if not math.isnan(row[name].mean.value)}
    best = (min if way == "low" else max)(means.values()) if means and way else None
    for variant, row in table.rows.items():
        row[name] = Cell(row[name].mean, best is not None and means.get(variant) == best, compared.get(variant))


def markdown(table: Table) -> str:
    """A Markdown table with a legend."""
    head = _head(table)
    lines = [_row(head), _row(["---"] * len(head))]
    for variant, row in table.rows.items():
        cells = [_marked(row[name], "**{}**", "±") for name in table.columns]
        lines.append(_row([variant, *cells, *(_cost(row[name].mean) for name in table.costs)]))
    return "\n".join([*lines, "", *_legend(table)])


def latex(table: Table) -> str:
    """A booktabs table."""
    head = _head(table)
    arrows = {"↓": r"$\downarrow$", "↑": r"$\uparrow$"}
    shown = [_escaped(text) for text in head]
    for sign, command in arrows.items():
        shown = [text.replace(sign, command) for text in shown]
    lines = [rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}", r"\toprule", " & ".join(shown) + r" \\", r"\midrule"]
    for variant, row in table.rows.items():
        cells = [_marked(row[name], r"\textbf{{{}}}", r"$\pm$") for name in table.columns]
        lines.append(" & ".join([_escaped(variant), *cells, *(_cost(row[n].mean) for n in table.costs)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {line}" for line in _legend(table) if line)]
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """Everything, one line per variant and figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["variant", "figure", "mean", "half_95", "n", "best", "difference", "p_holm", "separable"])
    for variant, row in table.rows.items():
        for name, cell in row.items():
            c = cell.compared
            beside = ["", "", ""] if c is None else [c.difference, "" if c.p is None else c.p, c.separable]
            half = "" if cell.mean.half is None else cell.mean.half
            writer.writerow([variant, name, cell.mean.value, half, cell.mean.n, cell.best, *beside])
    return out.getvalue().rstrip()


def to_json(table: Table) -> dict[str, Any]:
    """The table as plain values."""
    rows: dict[str, Any] = {}
    for variant, row in table.rows.items():
        rows[variant] = {
            name: {
                "mean": c.mean.value, "half_95": c.mean.half, "n": c.mean.n, "best": c.best,
                **({} if c.compared is None else {
                    "difference": c.compared.difference, "p_holm": c.compared.p, "separable": c.compared.separable}),
            }
            for name, c in row.items()
        }  # fmt: skip
    return {"base": table.base, "titles": dict(table.titles), "variants": rows, "notes": table.notes}


def _marked(cell: Cell, bold: str, sign: str) -> str:
    """A cell's text: bold when best; a dagger when it cannot be told from the base."""
    if cell.mean.n == 0 or math.isnan(cell.mean.value):
        return "-"
    text = _between(cell.mean, sign)
    text = bold.format(text) if cell.best else text
    same = cell.compared is not None and not cell.compared.separable
    return text + (" †" if same and sign == "±" else r" $\dagger$" if same else "")


def _between(found: Mean, sign: str) -> str:
    """Mean and half interval, to the digits that the interval leaves meaning."""
    if found.half is None or found.half == 0:
        return f"{found.value:.4g}"
    digits = max(0, 1 - math.floor(math.log10(found.half)))
    return f"{found.value:.{digits}f} {sign} {found.half:.{digits}f}"


def _cost(found: Mean) -> str:
    if found.n == 0:
        return "-"
    return f"{found.value:,.0f}" if found.value >= 1000 else f"{found.value:.3g}"


def _head(table: Table) -> list[str]:
    """Titles of the columns, with an arrow to the better side of a figure."""
    arrows = {"low": " ↓", "high": " ↑", "": ""}
    figures = [table.titles[name] + arrows[way] for name, way in table.columns.items()]
    return ["variant", *figures, *(table.titles[name] for name in table.costs)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("_", r"\_").replace("%", r"\%").replace("&", r"\&")


def _legend(table: Table) -> list[str]:
    runs = table.runs
    n = f"n = {runs[0]}" if len(runs) == 1 else f"n = {runs[0]} to {runs[-1]}" if runs else "n = 0"
    lines = [
        f"Mean ± 95 % interval over seeds ({n}, Student's t); bold: best mean. † {SAME}: paired t test against"
        f" '{table.base}', Holm's correction over the variants, 5 %."
    ]
    if runs and runs[0] < 2:
        lines.append("One run of a variant has no interval, and nothing can be told from one run: take --seeds 3.")
    return lines + [f"{variant}: {note}" for variant, note in table.notes.items()]
