"""`hybridgen sample`: draw samples with a trained model, or complete one."""

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.cli import VERBS
from hybridgen.system.errors import UserError
from hybridgen.system.files import check_writable

if TYPE_CHECKING:
    from hybridgen.generate.trained import Trained

SUMMARY = VERBS["sample"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which model and what to draw."""
    parser.add_argument("model", metavar="RUN|FILE", help="a run, or a model.safetensors file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="such as sampler.head_steps=4")
    parser.add_argument("--labels", "--label", metavar="N,N,…", help="classes by number or name; default: all in turn")
    parser.add_argument("--prompt", metavar="TEXT", action="append", default=[], help="what to draw; may be repeated")
    parser.add_argument("--prompts", metavar="FILE", type=Path, help="a prompt a line")
    parser.add_argument(
        "--text-encoder", metavar="DIR|NAME",
        help="language model that prompts go through, and fetched if it is not here; default: that of the training",
    )  # fmt: skip
    parser.add_argument("--system-prompt", metavar="TEXT|FILE", help="what the language model reads before each prompt")
    parser.add_argument("--count", "-n", type=int, default=None, help="samples; labels or prompts are taken in turn")
    parser.add_argument("--seed", type=int, default=0, help="of the first sample; the next one has one more")
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("samples"), help="folder to write to")
    parser.add_argument("--given", metavar="FILE", type=Path, help="a sample to complete")
    parser.add_argument(
        "--mask", metavar="FILE", type=Path, help="white where --given is kept, black where it is drawn"
    )
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--registry", metavar="DIR", type=Path, action="append", default=[], help="parts the run named")
    parser.add_argument("--json", action="store_true", help="print the files as JSON")


def run(args: argparse.Namespace) -> int:
    """Writes one file for each sample and a sheet of all, each saying in itself what made it."""
    import json

    from hybridgen.assemble import assemble_settings
    from hybridgen.cli.open_model import open_model
    from hybridgen.generate.write import draw_files
    from hybridgen.training.launch import together

    check_writable(args.out, "--out")
    composed, trained = open_model(args.model, args.overrides, args.runs, args.registry)
    prompts = _prompts(args, trained)
    with together(assemble_settings(composed, "compute"), trained.device, args.command), warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
        files = draw_files(trained, args.labels, args.count, args.seed, args.out, args.given, args.mask, prompts)
    if not files:  # another process has written them
        return 0
    print(json.dumps([str(file) for file in files], indent=1) if args.json else "\n".join(map(str, files)))
    return 0


def _prompts(args: argparse.Namespace, trained: "Trained") -> list[str] | None:
    """The prompts, with the language model of the command line loaded; None where nothing of the kind was named."""
    from hybridgen.generate.requests import check_kind, read_prompts

    prompts = [*args.prompt, *(read_prompts(args.prompts) if args.prompts else [])]
    named = args.text_encoder is not None or args.system_prompt is not None
    if not prompts:
        if named:
            raise UserError("--text-encoder and --system-prompt need --prompt TEXT or --prompts FILE")
        return None
    check_kind(trained.model.conditioner, None if args.labels is None else [0], prompts)
    if named:
        trained.load_text_encoder(args.text_encoder, _text(args.system_prompt), fetch=args.text_encoder is not None)
    return prompts


def _text(given: str | None) -> str | None:
    """A text, or that of the file of this name."""
    if given is None or not os.path.isfile(given):
        return given
    try:
        return Path(given).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--system-prompt {given}: cannot be read ({error})") from None
