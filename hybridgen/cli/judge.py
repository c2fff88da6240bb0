"""`hybridgen judge`: train the small classifier that judges samples of a data set.

Choices are made on held-out training samples; the test samples are looked at once, when all is done.
"""

import argparse
import json
import shlex
from dataclasses import asdict
from pathlib import Path

from hybridgen.cli import VERBS

SUMMARY = VERBS["judge"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which data and how to train."""
    parser.add_argument("data", metavar="DATA", help="a data card from `hybridgen list data`")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as data.root=DIR")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where to write it (default: judge_DATA.safetensors)")
    parser.add_argument("--epochs", type=_count, default=8, help="passes over the training samples (default: 8)")
    parser.add_argument("--batch", type=_count, default=128, help="samples a step (default: 128)")
    parser.add_argument("--lr", type=float, default=0.2, help="largest learning rate of the cycle (default: 0.2)")
    parser.add_argument("--shift", type=int, default=0, help="move samples by up to so many pixels (default: 0)")
    parser.add_argument("--no-flip", action="store_true", help="never mirror samples: where left and right matter")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="more cards or parts")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Trains, writes the file, prints both accuracies."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from hybridgen.assemble import assemble_data
    from hybridgen.config.compose import compose
    from hybridgen.evaluation.judge import write_judge
    from hybridgen.evaluation.judge_training import JudgeTraining, train_judge
    from hybridgen.system.files import check_writable

    out = args.out or Path(f"judge_{args.data}.safetensors")
    check_writable(out.parent, "--out")
    data = assemble_data(compose("base", [f"data={args.data}", *args.overrides], args.registry))
    how = JudgeTraining(
        epochs=args.epochs, batch=args.batch, lr=args.lr, shift=args.shift, flip=not args.no_flip, seed=args.seed
    )
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"judge of {args.data}", total=args.epochs)

        def told(epoch: int, accuracy: float) -> None:
            progress.update(task, completed=epoch + 1, description=f"judge of {args.data}, valid {accuracy:.3f}")

        net, card = train_judge(data, args.data, _command(args), how, told)
    write_judge(out, net, card)
    if args.json:
        print(json.dumps({**asdict(card), "file": str(out)}, indent=2))
    else:
        print(f"accuracy  valid {card.accuracy_valid:.4f} (chosen on)  test {card.accuracy_test:.4f} (looked at once)")
        print(f"wrote {out}; use it with metrics.judge={out}")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; at least 1")
    return number


def _command(args: argparse.Namespace) -> str:
    """The command that trains the same judge again; folders are left out, as they differ between machines."""
    overrides = [item for item in args.overrides if not item.startswith("data.root=")]
    words = ["hybridgen", "judge", args.data, *overrides, "--epochs", args.epochs, "--batch", args.batch]
    words += ["--lr", f"{args.lr:g}", "--shift", args.shift, *(["--no-flip"] if args.no_flip else [])]
    return shlex.join(str(word) for word in [*words, "--seed", args.seed])
