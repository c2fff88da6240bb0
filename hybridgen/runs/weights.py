"""Weights and the config that made them, in one safetensors file: nothing is unpickled, nothing imported unasked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from hybridgen.system.errors import UserError
from hybridgen.system.files import atomic_path
from hybridgen.system.version import __version__
from hybridgen.types import DataSpec

FORMAT = 1
_KEY = "hybridgen"


def save(path: Path, module: nn.Module, about: dict[str, Any]) -> None:
    """Writes the module's weights with `about` (JSON) in the file's metadata; whole or not at all."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={_KEY: json.dumps({"format": FORMAT, **about})})


def read_about(path: Path) -> dict[str, Any]:
    """What `save` was told.

    Raises:
        UserError: the file is absent, damaged, or was not written by `save`.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if _KEY not in metadata:
        raise UserError(f"{path}: these weights carry no hybridgen config; files of other projects need an importer")
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        stated = about.get("format")
    except (ValueError, RecursionError, AttributeError) as error:
        raise UserError(f"{path}: its hybridgen config is damaged ({error})") from error
    if stated != FORMAT:
        raise UserError(f"{path}: format {stated}, but this hybridgen reads format {FORMAT}")
    return about


def read_weights(path: Path, module: nn.Module, prefix: str = "", missing: str = "refuse") -> list[str]:
    """Loads weights into the module; names that the file lacks are returned when `missing` is "skip".

    Raises:
        UserError: names or shapes do not fit; the message lists them.
    """
    wanted, fitting, wrong = module.state_dict(), {}, []
    with _opened(path) as file:
        names = set(file.keys())
        for name in wanted:
            if prefix + name in names:
                value = file.get_tensor(prefix + name)
                if value.shape != wanted[name].shape:
                    wrong.append(f"{name}: expected {tuple(wanted[name].shape)}, found {tuple(value.shape)}")
                fitting[name] = value
    absent = sorted(wanted.keys() - fitting.keys())
    surplus = [] if prefix or missing == "skip" else sorted(names - wanted.keys())
    if missing == "skip":
        skipped = [line.split(":")[0] for line in wrong]
        fitting = {name: value for name, value in fitting.items() if name not in skipped}
        absent, wrong = absent + skipped, []
    elif absent or surplus or wrong:
        lists = _listed("missing", absent) + _listed("not known", surplus) + _listed("shape", wrong)
        raise UserError(f"{path}: weights do not fit the model{lists}")
    module.load_state_dict(fitting, strict=False)
    return absent


def describe(kind: str, config: dict[str, Any], data: DataSpec, **more: Any) -> dict[str, Any]:
    """What a weights file says about itself."""
    return {"kind": kind, "hybridgen": __version__, "config": config, "data": asdict(data), **more}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The open safetensors file; what is wrong with it as one `UserError`."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError as error:
        raise UserError(f"{path}: there is no such file") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error})") from error


def _listed(what: str, names: list[str]) -> str:
    return (
        ""
        if not names
        else f"\n  {what}: " + ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    )
