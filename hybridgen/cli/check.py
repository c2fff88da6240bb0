"""`hybridgen check`: build an experiment and show what flows through it; nothing is trained or written."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["check"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as model.backbone.depth=8")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Composes, builds, pushes noise through every part, prints what it saw."""
    from hybridgen.config.compose import compose

    composed = compose(args.experiment, args.overrides, args.registry)
    from hybridgen.system.text import duration
    from hybridgen.workflows.dry_run import dry_run
    from hybridgen.workflows.preflight import check_ready, with_init

    composed = with_init(composed)
    notes = check_ready(composed)
    found = dry_run(composed)
    found.warnings += notes
    if args.json:
        print(json.dumps(asdict(found), indent=1))
        return 0
    print(f"{composed.name} on {found.machine}\n\nshapes, for a batch of 2")
    print("\n".join(f"  {name:32} {shape}" for name, shape in found.shapes))
    print("\nparameters")
    print("\n".join(f"  {name:32} {count:>12,}" for name, count in found.parameters.items()))
    print("\nestimates")
    print(
        "\n".join(
            f"  {f'training of the {name}':32} {duration(s, rough=True):>12}" for name, s in found.seconds.items()
        )
    )
    print(f"  {'memory beside the data':32} {found.memory / 2**20:>8.0f} MiB")
    print("\n".join(f"note: {warning}" for warning in found.warnings) or "nothing looks wrong")
    return 0
