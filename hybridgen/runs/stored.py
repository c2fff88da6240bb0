"""The files of a run folder as they are read back: checked, since anything may have happened to them meanwhile."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from hybridgen.system.errors import UserError

STATUSES: Final = ("running", "finished", "failed", "interrupted")
NEEDED: Final[dict[str, tuple[type, ...]]] = {
    "id": (str,),
    "status": (str,),
    "started": (int, float),
    "ended": (int, float, type(None)),
    "pid": (int,),
    "pid_start": (int, type(None)),
    "host": (str,),
}
OPTIONAL: Final[dict[str, tuple[type, ...]]] = {
    "links": (dict,),
    "versions": (dict,),
    "commit": (str, type(None)),
    "command": (str,),
    "root": (str,),
    "tags": (dict,),
}
ABSENT: Final[dict[str, Any]] = {"links": {}, "versions": {}, "commit": None, "command": ""}
WAY_ON = "put the file back from a copy, or move the folder {folder} out of the runs"


def read_info(folder: Path) -> dict[str, Any]:
    """What run.json says, its optional fields filled.

    Raises:
        UserError: it cannot be read, or is not what a run writes.
    """
    file = folder / "run.json"
    info = read_json(file)
    if missing := NEEDED.keys() - info.keys():
        raise damaged(file, f"lacks {', '.join(sorted(missing))}")
    wrong = [name for name, kinds in (NEEDED | OPTIONAL).items() if not _is_one(info.get(name, ABSENT), kinds)]
    if wrong:
        raise damaged(file, f"{wrong[0]} is {json.dumps(info[wrong[0]])[:40]}")
    if info["status"] not in STATUSES:
        raise damaged(file, f"status is '{info['status']}', not one of {', '.join(STATUSES)}")
    if not all(isinstance(link, str) for link in info.get("links", {}).values()):
        raise damaged(file, "links holds what is not the path of a folder")
    return ABSENT | info


def read_tree(file: Path) -> dict[str, Any]:
    """The mapping in config.yaml or delta.yaml.

    Raises:
        UserError: it cannot be read, or is no mapping.
    """
    try:
        tree = yaml.safe_load(_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise damaged(file, f"not valid YAML ({' '.join(str(error).split())[:120]})") from None
    if tree is not None and not isinstance(tree, dict):
        raise damaged(file, f"holds a {type(tree).__name__}, not a mapping")
    return tree or {}


def read_json(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file of ours, such as summary.json.

    Raises:
        UserError: it cannot be read, or is no mapping.
    """
    try:
        tree = json.loads(_text(file))
    except (ValueError, RecursionError) as error:
        raise damaged(file, f"not valid JSON ({error})") from None
    if not isinstance(tree, dict):
        raise damaged(file, f"holds a {type(tree).__name__}, not a mapping")
    return tree


def damaged(file: Path, problem: str) -> UserError:
    """The error for a file of a run folder that is not as a run writes it."""
    return UserError(f"{file}: damaged: {problem}\n  {WAY_ON.format(folder=file.parent)}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise damaged(file, "there is no such file") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror or error}") from None


def _is_one(value: Any, kinds: Iterable[type]) -> bool:
    """Whether a field has one of these types; one that is absent counts as right, a truth value is no number."""
    return value is ABSENT or (isinstance(value, tuple(kinds)) and not isinstance(value, bool))
