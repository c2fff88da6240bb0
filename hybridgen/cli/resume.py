"""`hybridgen resume`: go on with a run where it was stopped or killed; the outcome is that of an unbroken run."""

import argparse
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["resume"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which run."""
    parser.add_argument("run", metavar="RUN", help="a run folder, experiment/run, or an experiment for its latest run")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="of the machine: such as compute.devices=1")
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Looks for what is needed, trains what is left, judges, prints the table."""
    from hybridgen.cli.open_model import check_keys
    from hybridgen.cli.train import quiet_workers, run_on_all_ranks
    from hybridgen.config.compose import Composed, with_overrides
    from hybridgen.config.identity import may_change
    from hybridgen.runs.run import Run

    found = Run.open(args.run, args.runs)
    config = found.config
    check_keys(args.overrides, may_change("resume"), "resume, what may change", config)
    stored = with_overrides(config, args.overrides, args.registry, name=str(found.path / "config.yaml"))
    composed = Composed(found.experiment, stored.config, found.delta, stored.places, stored.registry)
    quiet_workers(composed)
    from hybridgen.workflows.preflight import check_ready

    check_ready(composed)
    return run_on_all_ranks(composed, lambda: str(found.path), args)
