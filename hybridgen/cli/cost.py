"""`hybridgen cost`: what drawing a sample with an experiment costs, on a machine that need not hold it."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["cost"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as sampler.sets=64")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Walks the sampling loop on tensors without memory, prints what it counted."""
    from hybridgen.config.compose import compose

    composed = compose(args.experiment, args.overrides, args.registry)
    from hybridgen.evaluation.sampling_cost import sampling_cost
    from hybridgen.evaluation.savings import REASONS
    from hybridgen.system.text import size

    found = sampling_cost(composed)
    if args.json:
        print(json.dumps(asdict(found), indent=1))
        return 0
    print(f"{composed.name}: a sample in {found.steps} steps, {found.evaluations} evaluations of the residual head\n")
    print(f"  {'part':16} {'parameters':>16} {'MACs, one row':>20} {'MACs, guided':>20}")
    for part in {**found.parameters, **found.macs}:
        if part != "total":
            _line(part, found.parameters.get(part, 0), found.macs.get(part, 0), found.guided.get(part, 0))
    _line("total", found.parameters["total"], found.macs["total"], found.guided["total"])
    if found.savings:
        print("\n  not in it, for it is kept instead of computed again:")
    for reason, count in found.savings.items():
        print(f"  {reason:16} {'':16} {count:>20,}   {REASONS[reason]}")
    print(f"\n  keys and values of a row   {size(found.cache)} in float32, half of it in bfloat16")
    held = ", ".join(f"{name} {size(count)}" for name, count in found.peak.items() if name != "total")
    print(f"  held at once, estimated    {size(found.peak['total'])} in float32 ({held})")
    return 0


def _line(part: str, parameters: int, row: int, guided: int) -> None:
    print(f"  {part:16} {parameters:>16,} {row:>20,} {guided:>20,}")
