"""`hybridgen train`: an experiment from its config to its report."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS

if TYPE_CHECKING:
    from hybridgen.config import Composed
    from hybridgen.runs import Run

SUMMARY = VERBS["train"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as model.backbone.depth=8")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Checks everything, says what is coming, trains, judges, prints the table."""
    from hybridgen.config import compose

    composed = compose(args.experiment, args.overrides, args.registry)
    from hybridgen.cli.show import say
    from hybridgen.rehearsal import look_ahead
    from hybridgen.runs import Run

    say(look_ahead(composed))
    started = Run.create(Path(composed.config["runs"]), composed.name, composed.config, composed.delta)
    if args.registry:
        started.note(registries=[str(path.resolve()) for path in args.registry])
    return conducted(composed, started, args.json)


def conducted(composed: "Composed", started: "Run", as_json: bool) -> int:
    """The same ending for a new run and a resumed one."""
    from hybridgen.cli.show import say, table
    from hybridgen.conduct import conduct

    try:
        outcome = conduct(composed, started, say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Go on with: hybridgen resume {started.path}") from None
    if as_json:
        print(json.dumps({name: shown.to_json() for name, shown in outcome.figures.items()}, indent=1))
        return 0
    print(table(outcome.figures))
    print(f"pictures  {_near(outcome.grid)}\nreport    {_near(outcome.report)}")
    print(f"weights   {_near(outcome.run.model)}")
    waiting = "" if outcome.tracked else "   (the store is slow or away; what waits is sent by the next command)"
    print(f"MLflow    hybridgen ui{waiting}")
    sys.stdout.flush()
    return 0


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
