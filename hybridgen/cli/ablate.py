"""`hybridgen ablate`: named variants of an experiment over several seeds, as a table like a paper's."""

import argparse
import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS
from hybridgen.cli.kinds import count
from hybridgen.cli.sweep import add_study_arguments, serve

if TYPE_CHECKING:
    from hybridgen.sweeps.request.block import Ablation, Experiment
    from hybridgen.sweeps.request.match import Matched
    from hybridgen.sweeps.session import Session

SUMMARY = VERBS["ablate"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which variants, how often, and how the table looks."""
    add_study_arguments(parser)
    parser.add_argument("--seeds", metavar="N", type=count, help="runs of each variant; default: what the block says")
    parser.add_argument(
        "--match", choices=["params", "macs", "seconds"], help="resize variants until their budget is the base's"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--latex", action="store_true", help="print the table for LaTeX")
    shape.add_argument("--csv", action="store_true", help="print the table as CSV")


def run(args: argparse.Namespace) -> int:
    """Checks the block, trains what is missing, prints the table."""
    from hybridgen.sweeps.request.block import Experiment, read_ablation

    experiment = Experiment(args.experiment, tuple(args.overrides), tuple(path.resolve() for path in args.registry))
    composed, ablation = read_ablation(experiment)
    from hybridgen.sweeps.request.plan import plan_ablation
    from hybridgen.sweeps.session import Session

    matched: dict[str, Matched] = {}
    if args.match:
        ablation, matched = _matched(experiment, ablation, args)
    seeds = args.seeds or ablation.options.seeds
    plan, trials = plan_ablation(composed, ablation, seeds), seeds * len(ablation.variants)
    session = Session(experiment, composed, plan, trials, ablation.options.figures, args.storage)
    return serve(args, session, lambda _: _finish(args, session, ablation, seeds, matched))


def _finish(
    args: argparse.Namespace, session: "Session", ablation: "Ablation", seeds: int, matched: "dict[str, Matched]"
) -> int:
    """Writes the study's page and prints the table."""
    from hybridgen.cli.show import say
    from hybridgen.sweeps.results.ablate import tabulate, write_ablation
    from hybridgen.sweeps.results.table import as_csv, latex, markdown, to_json

    table = tabulate(session, ablation, seeds, matched)
    report = write_ablation(session, ablation, table)
    if args.json:
        print(json.dumps(to_json(table), indent=1), flush=True)
    else:
        print(latex(table) if args.latex else as_csv(table) if args.csv else markdown(table), flush=True)
        say(f"report   {report}")
    return 0 if any(table.runs) else 1


@contextmanager
def _as_a_worker(args: argparse.Namespace) -> Iterator[None]:
    """As many threads as the worker will have that times the samples; jobs have what their cluster gives them."""
    import torch

    from hybridgen.sweeps.queue.launch import threads_each

    before = torch.get_num_threads()
    if args.launcher == "local" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads_each(args.workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _matched(
    experiment: "Experiment", ablation: "Ablation", args: argparse.Namespace
) -> "tuple[Ablation, dict[str, Matched]]":
    """The variants with their budgets brought to the base's; found once and kept, for workers and later commands."""
    from hybridgen.cli.show import say
    from hybridgen.sweeps.results.ablate import match_all

    with _as_a_worker(args):
        matched = match_all(experiment, ablation, args.match, say)
    if not args.worker:
        for name, found in matched.items():
            say(f"{name}: {found.ratio:.1%} of the base's {args.match}; {' '.join(found.overrides) or 'as it is'}")
    variants = {
        name: (*texts, *(matched[name].overrides if name in matched else ()))
        for name, texts in ablation.variants.items()
    }
    return dataclasses.replace(ablation, variants=variants), matched
