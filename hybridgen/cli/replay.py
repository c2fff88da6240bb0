"""`hybridgen replay`: draw a sample of ours again from what it says of its own making."""

import argparse
from pathlib import Path

from hybridgen.cli import VERBS
from hybridgen.system.files import check_writable

SUMMARY = VERBS["replay"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which sample."""
    parser.add_argument("sample", metavar="FILE", type=Path, help="one sample that `hybridgen sample` wrote")
    parser.add_argument("--model", metavar="RUN|FILE", help="default: the run in --runs with the same weights")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="where to write it; default: beside FILE, with _again in its name"
    )


def run(args: argparse.Namespace) -> int:
    """Draws it again and says whether every stored value is the same."""
    from hybridgen.generate.replay import draw_again

    check_writable((args.out or args.sample).parent, "--out")
    found = draw_again(args.sample, args.model, args.runs, args.registry, args.out)
    same = "the same, value for value" if found.same else "drawn again, but some values differ (other hardware?)"
    print(f"{found.path}: {same}")
    return 0
