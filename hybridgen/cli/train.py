"""`hybridgen train`: an experiment from its config to its report."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS

if TYPE_CHECKING:
    from hybridgen.config.compose import Composed
    from hybridgen.workflows.run_experiment import Outcome

SUMMARY = VERBS["train"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as model.backbone.depth=8")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Checks everything, says what is coming, trains, judges, prints the table."""
    from hybridgen.config.compose import compose

    composed = compose(args.experiment, args.overrides, args.registry)
    quiet_workers(composed)
    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.show import say
    from hybridgen.runs.run import Run
    from hybridgen.training.launch import is_later_rank
    from hybridgen.workflows.dry_run import summary
    from hybridgen.workflows.preflight import check_ready, with_init

    composed = with_init(composed)
    notes = check_ready(composed)
    if not is_later_rank(assemble_settings(composed, "compute")):
        say("\n".join([summary(composed), *(f"note: {note}" for note in notes)]))

    def create() -> str:
        run = Run.create(Path(composed.config["runs"]), composed.name, composed.config, composed.delta)
        if args.registry:
            run.note(registries=[str(path.resolve()) for path in args.registry])
        return str(run.path)

    return run_on_all_ranks(composed, create, args)


def run_on_all_ranks(composed: "Composed", folder: Callable[[], str], args: argparse.Namespace) -> int:
    """The same ending for a new run and a resumed one; the first process of a run asks `folder` where it lies."""
    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.show import say
    from hybridgen.runs.run import Run
    from hybridgen.system import distributed
    from hybridgen.training.launch import together
    from hybridgen.training.machine import choose
    from hybridgen.workflows.run_experiment import run_experiment

    compute, started = assemble_settings(composed, "compute"), None
    machine = choose(composed.config["device"], composed.config["precision"], compute)
    try:
        with together(compute, machine.device, args.command):
            started = Run(Path(distributed.broadcast(folder)), writes=distributed.is_first())
            outcome = run_experiment(composed, started, say if started.writes else _silent)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Go on with: hybridgen resume {started.path}" if started else "") from None
    return _ending(composed, outcome, args.json) if outcome.run.writes else 0


def quiet_workers(composed: "Composed") -> None:
    """Before torch is imported: several processes say only what is wrong.

    DDP looks for parameters without a gradient, since parts may rest for a while, and complains when it finds none.
    """
    compute = composed.config["compute"]
    if compute["devices"] * compute["nodes"] > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def _silent(text: str) -> None:
    """What the first process says is said once."""


def _ending(composed: "Composed", outcome: "Outcome", as_json: bool) -> int:
    """Prints the table; waits a moment for MLflow."""
    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.show import table
    from hybridgen.tracking.process import root_of, sync_pending

    if as_json:
        print(json.dumps({name: shown.to_json() for name, shown in outcome.figures.items()}, indent=1))
        return 0
    print(table(outcome.figures))
    print(f"samples   {_near(outcome.grid)}\nreport    {_near(outcome.report)}")
    print(f"weights   {_near(outcome.run.model)}", flush=True)
    sent = outcome.mirror.wait(20 if outcome.mirror.reached else 5)
    print("MLflow    hybridgen ui" + ("" if sent else "   (the store is slow or away; a later command sends the rest)"))
    if sent:  # the store is there: what earlier runs could not send goes now
        sync_pending(root_of(outcome.run), assemble_settings(composed, "tracking"))
    return 0


def _near(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
