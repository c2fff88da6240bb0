"""Where a run comes from: versions, commit and command line, found without importing any of the libraries."""

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from hybridgen.system.version import __version__

LIBRARIES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "omegaconf",
    "timm",
    "einops",
    "numpy",
    "safetensors",
    "mlflow",
)


def versions() -> dict[str, str]:
    """Versions of python, hybridgen and the libraries underneath; what is not installed is left out."""
    found = {"python": platform.python_version(), "hybridgen": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit that the working directory stands at, with `+changes` where tracked files differ; None outside git."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def command_line() -> str:
    """The command as a user would type it again."""
    program = Path(sys.argv[0])
    name = "hybridgen" if program.name in ("hybridgen", "__main__.py") else program.name
    return shlex.join([name, *sys.argv[1:]])


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
