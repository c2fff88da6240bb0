"""`hybridgen sample`: draw pictures with a trained model, or complete one."""

import argparse
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["sample"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which model and what to draw."""
    parser.add_argument("model", metavar="RUN|FILE", help="a run, or a model.safetensors file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as sampler.head_steps=4")
    parser.add_argument("--labels", "--label", metavar="N,N,…", help="classes by number or name; default: all in turn")
    parser.add_argument("--count", "-n", type=int, default=None, help="pictures; labels are taken in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the first picture; the next one has one more")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("samples"), help="folder to write to")
    parser.add_argument("--given", metavar="PICTURE", type=Path, help="a picture to complete")
    parser.add_argument(
        "--mask", metavar="PICTURE", type=Path, help="white where --given is kept, black where it is drawn"
    )
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument("--json", action="store_true", help="print the files as JSON")


def run(args: argparse.Namespace) -> int:
    """Writes one PNG a picture and a grid, each saying in itself what made it."""
    import json

    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.open_model import open_model
    from hybridgen.draw import draw_files
    from hybridgen.training.launch import together

    composed, trained = open_model(args.model, args.overrides, args.runs, args.registry)
    with together(assemble_settings(composed, "compute"), trained.device, args.command):
        files = draw_files(trained, args.labels, args.count, args.seed, args.out, args.given, args.mask)
    if not files:  # another process has written them
        return 0
    print(json.dumps([str(file) for file in files], indent=1) if args.json else "\n".join(map(str, files)))
    return 0
