"""Where the cards and the experiments lie: beside a checkout, inside an installed wheel, or where a variable says."""

import os
from pathlib import Path

from hybridgen.system.errors import UserError

HOME_VARIABLE = "HYBRIDGEN_HOME"


def home() -> Path:
    """The folder that holds `registry/` and `experiments/`.

    Raises:
        UserError: `HYBRIDGEN_HOME` names a folder without them.
    """
    named = os.environ.get(HOME_VARIABLE)
    if named:
        if not (Path(named) / "registry").is_dir():
            raise UserError(f"{HOME_VARIABLE}={named}: no folder 'registry' there. Unset it, or name a checkout.")
        return Path(named).resolve()
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    return checkout if (checkout / "pyproject.toml").is_file() else package / "_data"


def registry_folder() -> Path:
    """The folder of the built-in cards."""
    return home() / "registry"


def experiments_folder() -> Path:
    """The folder of the shipped experiments."""
    return home() / "experiments"


def shown(path: Path) -> str:
    """A path as messages show it: relative to where the user is, when it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
