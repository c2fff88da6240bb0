"""`hybridgen replay`: draw a picture of ours again from what it says of its own making."""

import argparse
from pathlib import Path

from hybridgen.cli import VERBS
from hybridgen.system.files import check_writable

SUMMARY = VERBS["replay"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which picture."""
    parser.add_argument("picture", metavar="FILE.png", type=Path, help="one picture that `hybridgen sample` wrote")
    parser.add_argument("--model", metavar="RUN|FILE", help="default: the run in --runs with the same weights")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where to write it; default: FILE_again.png")


def run(args: argparse.Namespace) -> int:
    """Draws it again and says whether every pixel is the same."""
    from hybridgen.generate.replay import draw_again

    out = args.out or args.picture.with_name(f"{args.picture.stem}_again.png")
    check_writable(out.parent, "--out")
    same = draw_again(args.picture, args.model, args.runs, args.registry, out)
    print(f"{out}: {'the same, pixel for pixel' if same else 'drawn again, but some pixels differ (other hardware?)'}")
    return 0
