"""The command line: one verb a file, imported when it is asked for, so that `--help` waits for nothing.

Each module `hybridgen.cli.<verb>` offers `SUMMARY`, `add_arguments(parser)` and `run(args) -> exit code`.
Exit codes: 0 well, 1 a failure of ours, 2 something the user can mend, 130 stopped by Ctrl-C.
"""

import argparse
import errno
import importlib
import keyword
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from hybridgen.system.child_processes import end_with_parent
from hybridgen.system.errors import UserError, unknown

VERBS: Final = {
    "train": "train an experiment: tokenizer, then generator; sample, evaluate, report",
    "resume": "go on with a run that was stopped",
    "sample": "draw samples with a trained model, or complete one",
    "replay": "draw a sample again from what it says of its own making",
    "evaluate": "judge a trained model; every figure with its protocol",
    "compare": "set runs side by side: what differs, which figures compare, curves, samples",
    "import": "official weights of a published model into one of ours, every name accounted for",
    "sweep": "many trials of an experiment: what is not trained yet is trained once, then all are judged",
    "ablate": "named variants of an experiment over several seeds, as a table like a paper's",
    "list": "slots, cards and experiments",
    "compose": "print an experiment with all its defaults written out",
    "data": "look at the data of an experiment: counts, sizes, damaged files, reading time, a page of samples",
    "check": "build an experiment and show its shapes and sizes; nothing is trained",
    "cost": "parameters and multiply-accumulates of an experiment by part; nothing is computed",
    "ui": "open the MLflow user interface on your runs",
    "track": "send what is waiting to the tracking server",
    "laws": "put a part, yours or a built-in one, through the laws of its slot",
    "judge": "train anew the small classifier that judges samples",
}
INTERRUPTED: Final = 130
# What keeps a file from being read or written and is no mistake of ours: the user can mend it.
MENDABLE: Final = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EMFILE, errno.ENFILE,
)  # fmt: skip


def module_name(verb: str) -> str:
    """The module of a verb; one that is a word of Python's own carries an underscore."""
    return f"{verb}_" if keyword.iskeyword(verb) else verb


class Parser(argparse.ArgumentParser):
    """Complains like the rest of hybridgen: one message, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raises `UserError`, with how the verb is used."""
        raise UserError(f"{self.prog}: {message}\n{self.format_usage().rstrip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a verb; what the user can mend is said on stderr, without a traceback.

    A verb that is stopped by Ctrl-C may raise `KeyboardInterrupt("how to go on")`.
    """
    words = [*(sys.argv[1:] if argv is None else argv)]  # never `list`: in this package that is a verb, once imported
    end_with_parent()
    try:
        _check_utf8(words)
        return _run(words)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        print(f"{error.filename or 'hybridgen'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"\nstopped. {stop}".rstrip(), file=sys.stderr)
        return INTERRUPTED


def _check_utf8(words: Sequence[str]) -> None:
    """Raises `UserError` for a word that is not UTF-8: such a name could neither be printed nor written to a config."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise UserError("the working folder is no longer there; change to another one") from None
    for word in [*words, here]:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise UserError(f"{shown}: this name is not valid UTF-8; rename the file or folder") from None


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] == "--version":
        return _version(words[1:])
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        raise UserError(unknown("command", verb, VERBS, where="hybridgen"))
    module = importlib.import_module(f"hybridgen.cli.{module_name(verb)}")
    parser = Parser(prog=f"hybridgen {verb}", description=module.SUMMARY, allow_abbrev=False)
    module.add_arguments(parser)
    parser.set_defaults(verb=verb)
    args, extra = parser.parse_known_intermixed_args(rest)
    if extra:
        sign = next((word for word in extra if "=" in word), "")
        hint = f"\n  to change a key of the experiment, write {sign.lstrip('-')}" if sign else ""
        parser.error(f"unknown argument '{extra[0]}'{hint}")
    args.command = [verb, *rest]  # for the other processes of a run, which are started with the same words
    code: int = module.run(args)
    return code


def _version(rest: Sequence[str]) -> int:
    if rest:
        version = importlib.import_module("hybridgen.cli.version")
        code: int = version.run(rest)
        return code
    from hybridgen.system.version import __version__

    print(f"hybridgen {__version__}")
    return 0


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {summary}" for verb, summary in VERBS.items())
    return (
        "usage: hybridgen COMMAND ...\n\nHybrid autoregressive + diffusion generators, built from swappable parts.\n\n"
        f"{verbs}\n\nhybridgen COMMAND --help says more; hybridgen --version -v looks at this machine."
    )
