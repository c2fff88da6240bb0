"""Where a data set lies: the option `root`, else the variable HYBRIDGEN_DATA, else a download with a progress bar."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hybridgen.system.errors import UserError

VARIABLE = "HYBRIDGEN_DATA"


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hybridgen" / "data"


def find_root(name: str, root: str | None, holds: Callable[[Path], bool], download: Callable[[Path], object]) -> Path:
    """The folder that holds the set.

    A folder that the user names is never written to: only without one is anything downloaded, into the cache.

    Raises:
        UserError: it is nowhere, or the download failed; the message names the three ways.
    """
    for given, origin in ((root, "data.root"), (os.environ.get(VARIABLE), VARIABLE)):
        if given:
            folder = Path(given).expanduser()
            if not holds(folder):
                raise UserError(f"{origin}: {folder}: {name} is not there{_three_ways()}")
            return folder
    if not holds(cache_folder()):
        try:
            _fetch(download, cache_folder())
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"{name}: not found, and the download failed ({reason[-1]}){_three_ways()}") from None
    return cache_folder()


def named_folder(root: str | None, what: str) -> Path:
    """The folder given by the option or the variable, for sets that nobody can download."""
    given = root or os.environ.get(VARIABLE)
    if not given:
        raise UserError(f"data.root: {what} needs a folder: give data.root=DIR or set {VARIABLE}=DIR")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{'data.root' if root else VARIABLE}: {folder}: no such folder")
    return folder


def _three_ways() -> str:
    return (
        f"\n  three ways: data.root=DIR; the environment variable {VARIABLE}=DIR;"
        f" or neither, with a network: it is then downloaded into {cache_folder()}"
    )


def _fetch(download: Callable[[Path], object], cache: Path) -> None:
    """Download beside the cache, then move in: an interrupted download never looks like a whole set."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as fresh:
        download(Path(fresh))
        for child in Path(fresh).iterdir():
            if not (cache / child.name).exists():
                shutil.move(child, cache / child.name)
