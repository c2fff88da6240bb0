"""`hybridgen train`: an experiment from its config to its report."""

import argparse
import json
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
    from hybridgen.preflight import look_for, with_init
    from hybridgen.rehearsal import look_ahead
    from hybridgen.runs import Run

    composed = with_init(composed)
    look_for(composed)
    say(look_ahead(composed))
    started = Run.create(Path(composed.config["runs"]), composed.name, composed.config, composed.delta)
    if args.registry:
        started.note(registries=[str(path.resolve()) for path in args.registry])
    return conducted(composed, started, args.json)


def conducted(composed: "Composed", started: "Run", as_json: bool) -> int:
    """The same ending for a new run and a resumed one."""
    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.show import say, table
    from hybridgen.conduct import conduct
    from hybridgen.tracking import root_of, sync_pending

    try:
        outcome = conduct(composed, started, say)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Go on with: hybridgen resume {started.path}") from None
    if as_json:
        print(json.dumps({name: shown.to_json() for name, shown in outcome.figures.items()}, indent=1))
        return 0
    print(table(outcome.figures))
    print(f"pictures  {_near(outcome.grid)}\nreport    {_near(outcome.report)}")
    print(f"weights   {_near(outcome.run.model)}", flush=True)
    sent = outcome.mirror.wait(20 if outcome.mirror.reached else 5)
    print("MLflow    hybridgen ui" + ("" if sent else "   (the store is slow or away; a later command sends the rest)"))
    if sent:  # the store is there: what earlier runs could not send goes now
        sync_pending(root_of(started), assemble_settings(composed, "tracking"))
    return 0


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
