"""`hybridgen sweep`: many trials of an experiment, trained as rarely as possible, by any number of workers."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS
from hybridgen.cli.kinds import count, duration, setting
from hybridgen.system.child_processes import check_count
from hybridgen.system.errors import UserError

if TYPE_CHECKING:
    from hybridgen.sweeps.queue.view import Standing
    from hybridgen.sweeps.request.block import Sweep
    from hybridgen.sweeps.session import Session

SUMMARY = VERBS["sweep"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which study, and how much of it."""
    add_study_arguments(parser)
    parser.add_argument("--trials", metavar="N", type=count, help="trials in all; default: what the block says")


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """What `sweep` and `ablate` share."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="for all trials, such as metrics.samples=500")
    parser.add_argument("--workers", metavar="K", type=count, default=1, help="processes that share cores and GPUs")
    parser.add_argument(
        "--launcher", choices=["local", "submitit"], default="local", help="workers here, or as jobs (Slurm)"
    )
    parser.add_argument(
        "--job", metavar="KEY=VALUE", type=setting, action="append", default=[],
        help="submitit's, such as timeout_min=240, gpus_per_node=1, slurm_partition=long; cluster=local tries it out",
    )  # fmt: skip
    parser.add_argument("--storage", metavar="URL", help="a database, or a journal's path; default: beside the study")
    parser.add_argument(
        "--plan", action="store_true", help="say what would be trained and how long it takes, then stop"
    )
    parser.add_argument("--budget", metavar="TIME", type=duration, help="do not start above it: 900, 15min, 2h")
    parser.add_argument("--status", action="store_true", help="say how the study stands, then stop")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--ended", type=Path, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Checks the block, plans, runs what is not done yet, prints the best."""
    from hybridgen.sweeps.request.block import Experiment, read_sweep

    experiment = Experiment(args.experiment, tuple(args.overrides), tuple(path.resolve() for path in args.registry))
    composed, sweep = read_sweep(experiment)
    from hybridgen.sweeps.request.plan import plan_sweep
    from hybridgen.sweeps.session import Session

    plan = plan_sweep(composed, sweep)
    session = Session(experiment, composed, plan, _trials(args.trials, sweep), tuple(sweep.objectives), args.storage)
    return serve(args, session, lambda found: _finish(args, session, found), sweep.options.seconds)


def serve(
    args: argparse.Namespace,
    session: "Session",
    finish: "Callable[[Standing], int]",
    seconds: float | None = None,
) -> int:
    """Whatever of a study was asked for; `finish` prints what came out, and gives the exit code."""
    from hybridgen.training.interrupt import as_ctrl_c

    with as_ctrl_c():
        if args.worker:
            return _work(args, session)
        if args.status:
            return _show(args, session)
        if args.plan or args.budget is not None:
            looked_ahead(args, session)
            if args.plan:
                return 0
        return _go(args, session, finish, None if seconds is None else time.time() + seconds)


def _go(args: argparse.Namespace, session: "Session", finish: "Callable[[Standing], int]", until: float | None) -> int:
    from hybridgen.cli.show import say
    from hybridgen.sweeps.queue.jobs import jobs
    from hybridgen.sweeps.queue.launch import Workers

    if args.job and args.launcher == "local":
        raise UserError("--job: it goes with --launcher submitit")
    if args.launcher == "local" or dict(args.job).get("cluster") == "local":
        check_count(args.workers, "--workers")
    launch = Workers if args.launcher == "local" else jobs(dict(args.job))
    try:
        found, mirror = session.go(words_of(args), args.workers, say, until, launch)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Go on with the same command; --status says how far it is.") from None
    code = finish(found)
    mirror.wait(30 if mirror.reached else 5)
    return code


def _work(args: argparse.Namespace, session: "Session") -> int:
    """A worker; one that ended well, or was asked to stop, says so where it was told to."""
    from hybridgen.cli.show import say

    try:
        session.work(say, args.until)
    except KeyboardInterrupt:
        _sign_off(args.ended)
        raise
    _sign_off(args.ended)
    return 0


def _sign_off(ended: Path | None) -> None:
    if ended is not None:
        ended.touch()


def _show(args: argparse.Namespace, session: "Session") -> int:
    """How the study stands: as the live view shows it where there is a terminal."""
    from rich.console import Console

    from hybridgen.sweeps.queue.live import panel
    from hybridgen.sweeps.queue.view import in_words

    found, console = session.standing(), Console()
    if args.json:
        print(json.dumps(found.to_json(), indent=1))
    elif console.is_terminal:
        console.print(panel(found))
    else:
        print(in_words(found))
    return 0


def _finish(args: argparse.Namespace, session: "Session", found: "Standing") -> int:
    """Writes the study's page and prints how it stands."""
    from hybridgen.sweeps.queue.view import in_words
    from hybridgen.sweeps.results.page import write_study

    report = write_study(session, found)
    print(json.dumps(found.to_json(), indent=1) if args.json else f"{in_words(found)}\nreport   {report}", flush=True)
    return 0 if found.complete or not found.failed else 1


def looked_ahead(args: argparse.Namespace, session: "Session") -> None:
    """Prints the plan; refuses what is above the budget."""
    from hybridgen.config.paths import shown
    from hybridgen.sweeps.request.plan import describe
    from hybridgen.sweeps.session import check_budget

    outlook = session.outlook()
    seconds = session.seconds(outlook)
    if args.json:
        needed = {"tokenizers": outlook.tokenizers, "generators": outlook.generators}
        rows = {
            kind: [{"name": n.name, "found": n.found and str(n.found), "trials": n.uses} for n in each.values()]
            for kind, each in needed.items()
        }
        print(json.dumps({"trials": outlook.trials, "exact": outlook.exact, "seconds": seconds, **rows}, indent=1))
    else:
        print(describe(outlook, seconds, shown), flush=True)
    check_budget(seconds, args.budget)


def words_of(args: argparse.Namespace) -> list[str]:
    """The command line of a worker."""
    words = [args.verb, args.experiment, *args.overrides, "--worker"]
    for name in ("trials", "seeds", "storage", "match"):
        value = getattr(args, name, None)
        words += [] if value is None else [f"--{name}", str(value)]
    return words + [word for path in args.registry for word in ("--registry", str(path))]


def _trials(asked: int | None, sweep: "Sweep") -> int | None:
    """How many trials in all; a grid has an end."""
    if sweep.options.sampler == "grid":
        size = sweep.space.size or 0
        return min(asked or sweep.options.trials or size, size)
    return asked or sweep.options.trials
