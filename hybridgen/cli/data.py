"""`hybridgen data`: look at the data of an experiment before anything is trained."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS

if TYPE_CHECKING:
    from hybridgen.workflows.data_summary import DataSummary

SUMMARY = VERBS["data"]
FOLDER = "data"  # of the pages, in the runs folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as data.root=DIR")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Looks the data over, prints what there is, and writes a page with samples."""
    from hybridgen.config.compose import compose

    composed = compose(args.experiment, args.overrides, args.registry)
    from hybridgen.assemble import assemble_data
    from hybridgen.report.data_page import write_data_page
    from hybridgen.system.errors import UserError
    from hybridgen.system.files import check_writable, make_folder
    from hybridgen.workflows.data_summary import samples_to_show, summarise

    folder = Path(composed.config["runs"]) / FOLDER
    check_writable(folder, "runs")
    data = assemble_data(composed)
    try:
        found = summarise(composed, data)
    except UserError:
        for message in data.damage():
            print(message)
        raise
    stored, titles = samples_to_show(data)
    about = {"experiment": composed.name, "data": composed.config["data"]}
    sheet = data.medium.sheet(stored, about, columns=len(stored) // len(titles) if titles else None, row_titles=titles)
    make_folder(folder)
    path = folder / f"{composed.name}.html"
    facts = facts_of(found)
    write_data_page(path, f"Data of {composed.name}", facts, _counts(found), found.counts, found.damage, sheet)
    print(json.dumps({**asdict(found), "page": str(path)}, indent=1) if args.json else _table(found, facts, path))
    return 0


def facts_of(found: "DataSummary") -> dict[str, str]:
    """What was found, in words."""
    from hybridgen.system.text import duration, size

    reading = duration(found.seconds, rough=True) if found.seconds >= 1 else "under 1 s"
    tokens = found.tokens if found.token_bytes is None else f"{size(found.token_bytes)}, kept in: {found.tokens}"
    total, captions = sum(found.counts.values()), sum(found.captions.values())
    return {
        "a sample": f"{found.spec}, {size(found.stored_bytes)} as it is stored",
        "samples": f"{total:,}, {size(total * found.stored_bytes)}",
        "captions": f"{captions:,} samples have one" if captions else "none",
        "damaged files": f"{len(found.damage):,}, left out" if found.damage else "none",
        "reading one epoch": f"{reading}, by one process",
        "tokens": tokens,
    }


def _counts(found: "DataSummary") -> list[tuple[str, list[int]]]:
    return [*found.classes.items(), ("all", list(found.counts.values()))]


def _table(found: "DataSummary", facts: dict[str, str], path: Path) -> str:
    rows = [("", list(found.counts)), *((name, [f"{n:,}" for n in each]) for name, each in _counts(found))]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:{width}}" + "".join(f"{cell:>10}" for cell in cells) for name, cells in rows]
    told = [f"  {name:20}{value}" for name, value in facts.items()]
    damage = ["damaged, left out", *(f"  {message}" for message in found.damage)] if found.damage else []
    return "\n".join([*told, "", "samples of each split", *lines, *damage, "", f"page  {path}"])
