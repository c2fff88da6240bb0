"""`hybridgen compare`: runs side by side; what differs, which figures may be compared, and what they look like."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS
from hybridgen.system.errors import UserError
from hybridgen.system.files import check_writable

if TYPE_CHECKING:
    from hybridgen.comparison.entries import Entry
    from hybridgen.comparison.scores import Cell
    from hybridgen.runs.run import Run

SUMMARY = VERBS["compare"]
ACROSS = 5  # entries up to which each is a column; more of them become lines, with the chief figures as columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which runs, and what is made of them."""
    parser.add_argument(
        "names", metavar="RUN", nargs="*", help="a run folder, experiment/run, or an experiment: latest"
    )
    parser.add_argument("--filter", metavar="TEXT", help='also all runs that MLflow finds: "metrics.frechet < 0.3"')
    parser.add_argument("--uri", help="where to look for them (default: mlflow.db in the runs folder)")
    parser.add_argument("--group-by", metavar="KEY", help="seed: average runs that differ in it alone; or another key")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write compare.html, curves, samples there")
    parser.add_argument("--samples", metavar="N", type=int, default=10, help="samples a run in --out (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument(
        "--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the runs named"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Finds the runs, compares them, prints the tables, and writes the folder if one is named."""
    from hybridgen.cli.show import say
    from hybridgen.comparison.differences import differences
    from hybridgen.comparison.entries import entries_of
    from hybridgen.comparison.scores import side_by_side

    if args.out is not None and args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: a file stands there; name a folder")
    if args.samples < 0:
        raise UserError(f"--samples {args.samples}: 0 draws none, and there is no less")
    if args.out is not None:
        check_writable(args.out, "--out")
    entries = entries_of(_found(args), args.group_by)
    changed, figures = differences([entry.configs for entry in entries]), side_by_side(entries)
    written: list[Path] = []
    if args.out is not None:
        from hybridgen.comparison.write import write_comparison

        drawing = {"count": args.samples, "seed": args.seed, "registries": args.registry}
        written = write_comparison(args.out, entries, changed, figures, **drawing, say=say)
    if args.json:
        from hybridgen.comparison.write import as_json

        print(json.dumps(as_json(entries, changed, figures), indent=1))
        return 0
    _print(entries, changed, figures)
    print("\n".join(map(str, written)) or "--out DIR writes a page with curves and samples")
    return 0


def _found(args: argparse.Namespace) -> "list[Run]":
    from hybridgen.runs.run import Run

    runs = [Run.open(name, args.runs) for name in args.names]
    if args.filter is not None:
        from hybridgen.tracking.store import find_runs

        runs += find_runs(args.filter, args.runs, args.uri)
    if len({found.path.resolve() for found in runs}) < 2:
        told = f"found: {', '.join(str(found.path) for found in runs) or 'none'}"
        raise UserError(f"compare: needs at least two runs\n  {told}\n  an experiment's name stands for its latest run")
    return runs


def _print(
    entries: "Sequence[Entry]", changed: Mapping[str, Sequence[str]], figures: "Mapping[str, Sequence[Cell | None]]"
) -> None:
    """The tables; wide where nobody reads along."""
    from rich.console import Console

    from hybridgen.comparison.scores import chief_figures, titles_of

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=60 + 40 * len(entries))
    names = [entry.name for entry in entries]
    said = [entry.name if entry.status == "finished" else f"{entry.name}\n{entry.status}" for entry in entries]
    console.print(_table(["what differs", *names], [[key, *values] for key, values in changed.items()]))
    if not changed:
        console.print("nothing: the configs are the same")
    titles = titles_of(entries)
    shown = [[titles[name], *map(_said, figures[name])] for name in chief_figures(entries)]
    if len(entries) > ACROSS:
        shown = [list(line) for line in zip(*[["figure", *said], *shown], strict=True)]
        console.print(_table(shown[0], shown[1:]))
    else:
        console.print(_table(["figure", *said], shown))


def _said(cell: "Cell | None") -> str:
    from hybridgen.system.text import number

    if cell is None:
        return "-"
    text = number(cell.value)
    if cell.interval is not None and cell.runs > 1:
        text += f" ± {number(cell.value - cell.interval[0])} ({cell.runs} runs)"
    elif cell.interval is not None:
        text += f" ({number(cell.interval[0])}, {number(cell.interval[1])})"
    return f"{text}\n{cell.mark}" if cell.mark else text


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_edge=False)
    for name in head:
        table.add_column(Text(name))
    for line in lines:
        table.add_row(*map(Text, line))
    return table
