"""`hybridgen ui`: look at runs in MLflow."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from hybridgen.runs.run import all_runs, experiments_in, readable
from hybridgen.system.errors import UserError, unknown
from hybridgen.tracking.process import Tracking, store_uri, sync_pending
from hybridgen.tracking.server import Server, free_port, runs_page

SUMMARY = "open the MLflow pages of your runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's own arguments."""
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="whose runs (default: the latest run's)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), metavar="DIR", help="the runs folder (default: runs)"
    )
    parser.add_argument(
        "--port", type=int, default=5000, metavar="N", help="port (default: 5000, or the next free one)"
    )
    parser.add_argument("--uri", help="MLflow tracking URI: a server that runs already, or a database to serve")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C. Exit code 0, or that of a server that ended by itself."""
    if args.uri and args.uri.startswith(("http://", "https://")):
        print(runs_page(args.uri.rstrip("/"), args.experiment))
        return 0
    if not 0 < args.port < 65536:
        raise UserError(f"--port {args.port}: a port is a number from 1 to 65535")
    experiment = _experiment(args.runs, args.experiment)
    for late in sync_pending(args.runs, Tracking(uri=args.uri)):
        print(f"sending what MLflow has not got yet: {late.experiment}/{late.name}", file=sys.stderr)
    port = free_port(args.port)
    if port != args.port:
        print(f"port {args.port} is busy; using {port}", file=sys.stderr)
    return _serve(Server(store_uri(args.runs, args.uri), args.runs.absolute() / "mlflow-artifacts", port), experiment)


def _serve(server: Server, experiment: str) -> int:
    previous = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        live = sys.stderr.isatty()
        print("MLflow is starting ...", end="" if live else "\n", file=sys.stderr, flush=True)
        server.start(_waiting if live else lambda seconds: None)
        print(f"\r{'':40}\r" if live else "", end="", file=sys.stderr, flush=True)
        print(runs_page(server.url, experiment), flush=True)
        print("Ctrl-C stops it.", file=sys.stderr)
        return server.wait()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 0
    finally:
        server.stop()
        signal.signal(signal.SIGTERM, previous)


def _experiment(root: Path, name: str | None) -> str:
    """The experiment to show; an error when there is nothing to show."""
    known = experiments_in(root)
    if not known:
        raise UserError(f"--runs {root}: no runs there. Name the folder by --runs DIR, or train: hybridgen train demo")
    if name is None:
        runs = readable(path for each in known for path in all_runs(root / each))
        if not runs:
            raise UserError(f"--runs {root}: no run there can be read")
        return max(runs, key=lambda run: run.info["started"]).experiment
    if name not in known:
        raise UserError(unknown("experiment", name, known, str(root)))
    return name


def _waiting(seconds: float) -> None:
    print(f"\rMLflow is starting ... {seconds:.0f} s", end="", file=sys.stderr, flush=True)


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
