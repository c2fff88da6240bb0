"""`hybridgen import`: official weights into one of our models, every name accounted for."""

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.cli import VERBS
from hybridgen.system.errors import UserError
from hybridgen.system.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybridgen.published.importer import Taken
    from hybridgen.runs.run import Run

SUMMARY = VERBS["import"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which architecture and which files."""
    parser.add_argument(
        "experiment", metavar="EXPERIMENT", nargs="?", help="such as published/var_d16, or a .yaml file"
    )
    parser.add_argument(
        "words", metavar="FILE|key=value", nargs="*",
        help=".safetensors, .pth, .pt, .bin, .ckpt, an index of shards, a folder, hf://OWNER/REPOSITORY/FILE; "
        "and overrides of the experiment",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="the run folder to write (default: a new one in runs)")
    parser.add_argument("--list", action="store_true", help="where official files are, their licences and sizes")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Reads, maps, checks; writes a run folder only when everything fits."""
    from hybridgen.published.catalogue import catalogue

    if args.list:
        _print_catalogue(args.experiment, args.json)
        return 0
    overrides = [word for word in args.words if _is_override(word)]
    files = [word for word in args.words if not _is_override(word)]
    if args.experiment is None or not files:
        raise UserError("hybridgen import: name an experiment and at least one file; --list says where they are")
    from hybridgen.config.compose import compose
    from hybridgen.published.importer import match, write

    composed = compose(args.experiment, overrides, args.registry)
    entry = catalogue().get(composed.name)
    licence = f"{entry.licence} (as stated at {entry.source})" if entry else "unverified"
    check_writable(args.out or Path(composed.config["runs"]), "--out" if args.out else "runs")
    taken = match(composed, files)
    written = write(composed, taken, args.out, licence=licence)
    if args.json:
        print(json.dumps(_as_json(taken, licence, written), indent=1))
    else:
        print("\n".join(_lines(taken)))
        print(f"licence    {licence}\nwritten    {written.path}")
    return 0


def _is_override(word: str) -> bool:
    return re.match(r"[a-z_0-9.]+=", word) is not None and not Path(word).exists()


def _lines(taken: "Sequence[Taken]") -> "list[str]":
    """A line for each set of weights, and one for each reason to leave names out."""
    lines = []
    for one in taken:
        what = "generator" if "backbone" in one.parts or "residual_head" in one.parts else one.parts[0]
        counts = f"{len(one.used)} keys used, {len(one.ignored)} ignored, 0 missing"
        place = f" [{one.place}]" if one.place else ""
        lines.append(f"{what:10} {one.family:20} {one.parameters:>15,} parameters   {counts}   {one.file.name}{place}")
        lines += [f"{'':10} ignored: {count} x {reason}" for reason, count in one.reasons.items()]
        if one.beside:
            lines.append(f"{'':10} beside it, not read: {', '.join(one.beside)}")
    return lines


def _as_json(taken: "Sequence[Taken]", licence: str, written: "Run") -> dict[str, Any]:
    sets = [
        {
            "file": str(one.file), "place": one.place, "beside": one.beside, "family": one.family, "parts": one.parts,
            "parameters": one.parameters, "used": one.used, "ignored": one.ignored, "missing": [],
        }
        for one in taken
    ]  # fmt: skip
    return {"sets": sets, "licence": licence, "run": str(written.path)}


def _print_catalogue(name: str | None, as_json: bool) -> None:
    from hybridgen.published.catalogue import catalogue
    from hybridgen.system.errors import unknown

    entries = catalogue()
    if name is not None:
        short = name.rpartition("/")[2]
        if short not in entries:
            raise UserError(unknown("published model", short, entries))
        entries = {short: entries[short]}
    if as_json:
        print(json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=1))
        return
    for entry in entries.values():
        print(f"{entry.model}   {entry.source}   licence: {entry.licence}")
        for file in entry.files:
            size = "size not stated" if file.mib is None else f"{file.mib:,} MiB"
            print(f"  {file.part:12} {file.at}   {size}")
