"""`hybridgen track sync RUN`: send a run folder to MLflow."""

import argparse
import os
import sys
from pathlib import Path

from hybridgen.runs.run import Run
from hybridgen.tracking.process import root_of, store_uri
from hybridgen.tracking.sync import mirror

SUMMARY = "send runs to MLflow (after an outage)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("what", choices=["sync"], help="send what MLflow has not got yet")
    parser.add_argument(
        "names", nargs="+", metavar="RUN", help="run folder, experiment/run, or experiment (its latest run)"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="the runs folder (default: runs)"
    )
    parser.add_argument("--uri", help="MLflow tracking URI (default: the run's own, else mlflow.db in the runs folder)")
    parser.add_argument(
        "--follow", type=int, metavar="PID", help="go on until this process, which trains the run, ends"
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0 when everything was delivered, 1 when the store did not take it."""
    runs = [Run.open(name, args.runs) for name in args.names]
    if args.follow:
        os.nice(10)  # training has the right of way
    delivered = [_send(run, args.uri, args.follow) for run in runs]
    return 0 if all(delivered) else 1


def _send(run: Run, uri: str | None, follow: int | None) -> bool:
    target = store_uri(root_of(run), uri or (run.config.get("tracking") or {}).get("uri"))
    done = mirror(run, target, follow, say=_say)
    if done:
        _say(f"{run.experiment}/{run.name}: sent to {target}")
    return done


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
