"""`hybridgen compose`: an experiment with all its defaults written out.

Checks everything, imports and writes nothing.
"""

import argparse
import json
from pathlib import Path

from hybridgen.cli import VERBS
from hybridgen.config.compose import compose
from hybridgen.config.yaml_text import write

SUMMARY = VERBS["compose"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which experiment."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a name from `hybridgen list`, or a .yaml file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as model.backbone.depth=8")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON instead of YAML")


def run(args: argparse.Namespace) -> int:
    """Prints the resolved config."""
    config = compose(args.experiment, args.overrides, args.registry).config
    print(json.dumps(config, indent=2, ensure_ascii=False) if args.json else write(config).rstrip())
    return 0
