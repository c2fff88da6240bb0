"""Weights and the config that made them, in one safetensors file: nothing is unpickled, nothing imported unasked."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hybridgen.system.errors import UserError
from hybridgen.system.files import atomic_path
from hybridgen.system.version import __version__
from hybridgen.types import DataSpec

FORMAT = 1
_KEY = "hybridgen"
LONGEST_HEADER = 100 << 20  # bytes of a safetensors header that are read


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
    check_finite(str(path), fitting)
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


def model_hash(path: Path) -> str:
    """16 hex digits over the names, shapes and values in a safetensors file; its metadata do not count."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            header = _header(file, path)
            header.pop("__metadata__", None)
            digest.update(json.dumps(header, sort_keys=True).encode())
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()[:16]


def check_finite(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Refuses weights that are NaN or infinite: a model with one of them draws nothing that can be shown.

    Raises:
        UserError: the message names the first such tensor and counts its values.
    """
    for name, value in tensors.items():
        wrong = int((~value.isfinite()).sum()) if value.is_floating_point() else 0
        if wrong:
            raise UserError(
                f"{where}: {name}: {wrong} of {value.numel()} values are NaN or infinite; these weights are damaged"
            )


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


def _header(file: BinaryIO, path: Path) -> dict[str, Any]:
    size = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(size)) if size <= LONGEST_HEADER else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{path}: not a safetensors file, or a damaged one")
    return header
