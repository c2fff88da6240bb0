"""`hybridgen evaluate`: judge a trained model anew; every figure with its protocol."""

import argparse
import json
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["evaluate"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which model and how to judge it."""
    parser.add_argument("model", metavar="RUN|FILE", help="a run, or a model.safetensors file")
    parser.add_argument(
        "overrides",
        metavar="key=value",
        nargs="*",
        help="such as metrics.samples=10000 sampler.head_steps=4 data.root=DIR",
    )
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write the figures there as JSON")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> int:
    """Draws, judges, prints the table and the protocol's sentence."""
    from hybridgen.assemble import assemble_data, assemble_settings
    from hybridgen.cli.open_model import open_model
    from hybridgen.cli.show import say, table
    from hybridgen.evaluation.protocol import sentence
    from hybridgen.evaluation.whole import evaluate_model
    from hybridgen.system.files import check_writable, write_atomic
    from hybridgen.training.launch import is_later_rank, together
    from hybridgen.workflows.preflight import check_ready

    if args.out is not None:
        check_writable(args.out.parent, "--out")
    composed, trained = open_model(args.model, args.overrides, args.runs, args.registry)
    notes = check_ready(composed, trained.data)
    compute = assemble_settings(composed, "compute")
    told = None if is_later_rank(compute) else lambda what, done, of: say(f"drawing {what}: {done} of {of}")
    if told is not None:
        for note in notes:
            say(note)
    with together(compute, trained.device, args.command):
        figures = evaluate_model(
            trained, assemble_data(composed), assemble_settings(composed, "metrics"),
            registry=composed.registry, advance=told,
        )  # fmt: skip
    if not figures:  # another process has them
        return 0
    stored = json.dumps({name: shown.to_json() for name, shown in figures.items()}, indent=1)
    if args.out is not None:
        write_atomic(args.out, stored + "\n")
    if args.json:
        print(stored)
        return 0
    print(table(figures))
    drawn = [shown for shown in figures.values() if shown.protocol["kind"] == "drawn"]
    print(sentence((drawn or [figures["psnr_residual"]])[0].protocol))
    return 0
