"""Weights of other projects read safely: nothing that a file asks for is ever executed.

A pickle goes through torch's restricted reader (`weights_only=True`), which is told of exactly one class beyond
tensors and plain containers: `argparse.Namespace`, which several trainers store beside their weights.
"""

import argparse
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hybridgen.system.errors import UserError

PICKLES = (".pth", ".pt", ".bin", ".ckpt")
SUFFIXES = (".safetensors", *PICKLES, ".index.json")
# What a folder is read from: the first of these that lies in it. Averaged weights come first, as the official
# sampling scripts take them; to have the others, name their file.
IN_A_FOLDER = (
    "ema_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
)
HUB = "hf://"


def locate(name: str) -> list[Path]:
    """The files that a user named by one word.

    A file; a folder with one of the usual names in it; a release, whose folders each have one; or
    hf://OWNER/REPOSITORY/FILE.

    Raises:
        UserError: there is none, or the hub cannot be reached.
    """
    if name.startswith(HUB):
        return [_fetched(name)]
    path = Path(name)
    if path.is_dir():
        inside = sorted(folder for folder in path.iterdir() if folder.is_dir())
        found = _usual(path) or [file for folder in inside for file in _usual(folder)]
        if not found:
            raise UserError(
                f"{path}: no weights in this folder, nor in those within\n  looked for: {', '.join(IN_A_FOLDER)}"
            )
        return found
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if not name.endswith(SUFFIXES):
        raise UserError(f"{path}: not a kind of file that is read\n  known: {', '.join(SUFFIXES)}")
    return [path]


def read(path: Path, fetch: Callable[[str], Path] | None = None) -> Mapping[str, Any]:
    """What a file holds: tensors by name, or wrappings around them (see unwrapping.py).

    Args:
        path: a file that `locate` gave.
        fetch: brings a shard that an index names; None: it lies beside the index.

    Raises:
        UserError: the file is incomplete, or asks to execute something.
    """
    if path.name.endswith(".index.json"):
        return _read_shards(path, fetch or (lambda shard: path.parent / shard))
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: incomplete file, or no safetensors at all ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _read_pickle(path: Path) -> Mapping[str, Any]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # the reader raises whatever a damaged file leads it to
        asked = re.search(r"GLOBAL\s+(\S+)", str(error))
        if asked or "weights_only" in str(error):
            what = f"asks for {asked[1]} when it is read" if asked else "holds more than weights"
            raise UserError(
                f"{path}: refused for safety: it {what}, which could execute anything; nothing was executed\n"
                "  weights as safetensors need no such thing; ask its author for them"
            ) from None
        raise UserError(f"{path}: incomplete file, or no torch file at all ({_first_line(error)})") from None
    if not isinstance(held, Mapping):
        raise UserError(f"{path}: holds a {type(held).__name__}, not weights by name")
    return held


def _read_shards(index: Path, fetch: Callable[[str], Path]) -> dict[str, Tensor]:
    try:
        names: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(names.values()))
        outside = [shard for shard in shards if Path(shard).name != shard]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: not the index of sharded weights ({error!r})") from None
    if outside:
        raise UserError(f"{index}: refused for safety: it names a shard outside of its folder: {outside[0]}")
    tensors: dict[str, Tensor] = {}
    for shard in shards:
        path = fetch(shard)
        if not path.is_file():
            raise UserError(f"{index}: incomplete: the shard {shard} is not there")
        tensors |= read(path)
    if absent := sorted(names.keys() - tensors.keys()):
        raise UserError(f"{index}: incomplete: its shards lack {', '.join(absent[:5])} ({len(absent)} in all)")
    return tensors


def _usual(folder: Path) -> list[Path]:
    """The first of the usual names that lies in a folder; empty when none does."""
    return [folder / name for name in IN_A_FOLDER if (folder / name).is_file()][:1]


def _fetched(name: str) -> Path:
    """A file of the hub, with the shards that it names."""
    parts = name.removeprefix(HUB).split("/", 2)
    if len(parts) < 3 or not all(parts):
        raise UserError(f"{name}: write {HUB}OWNER/REPOSITORY/FILE")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise UserError(f"{name}: needs the extra 'hub': pip install 'hybridgen[hub]'") from None
    owner, repository, file = parts

    def bring(what: str) -> Path:
        try:
            return Path(hf_hub_download(f"{owner}/{repository}", what))
        except Exception as error:  # a network fails in a hundred ways
            raise UserError(f"{name}: could not be fetched ({_first_line(error)})") from None

    path = bring(file)
    if file.endswith(".index.json"):
        folder = file.rpartition("/")[0]
        _read_shards(path, lambda shard: bring(f"{folder}/{shard}".lstrip("/")))
    return path


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
