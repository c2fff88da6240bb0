"""`hybridgen --version -v`: versions, known-bad pairs, devices, data and weights that are found."""

import json
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hybridgen.system.errors import UserError, unknown
from hybridgen.system.version import __version__

KNOWN = ("-v", "--verbose", "--json")
LIBRARIES = (
    "torch", "torchvision", "pytorch-lightning", "omegaconf", "mlflow", "optuna", "timm", "einops", "lpips",
    "clean-fid", "scipy", "numpy", "safetensors",
)  # fmt: skip


def run(rest: Sequence[str]) -> int:
    """Prints the version, and with -v all that matters when something does not work."""
    strange = [word for word in rest if word not in KNOWN]
    if strange:
        raise UserError(unknown("argument", strange[0], KNOWN, "hybridgen --version"))
    found = {name: _version(name) for name in LIBRARIES}
    facts = {
        "devices": _devices(),
        "HYBRIDGEN_DATA": os.environ.get("HYBRIDGEN_DATA"),
        "shipped data": _shipped("data/files", "*.npz"),
        "shipped judges": _shipped("evaluation/judges", "*.safetensors"),
    }
    if "--json" in rest:
        print(
            json.dumps({"hybridgen": __version__, "versions": found, "known bad": known_bad(found), **facts}, indent=1)
        )
        return 0
    print(f"hybridgen {__version__}")
    print("\n".join(f"  {name:20} {number or 'not installed'}" for name, number in found.items()))
    print("\n".join(f"  known bad: {pair}" for pair in known_bad(found)) or "  no known-bad pair")
    for name, value in facts.items():
        print(f"  {name:20} {', '.join(value) if isinstance(value, list) else value or 'not set'}")
    return 0


def known_bad(found: dict[str, str | None]) -> list[str]:
    """Pairs of versions that are known not to work together."""
    bad = []
    torch, vision = found.get("torch"), found.get("torchvision")
    if torch and vision and _numbers(torch)[:1] == (2,) and _numbers(vision)[1] != _numbers(torch)[1] + 15:
        bad.append(f"torch {torch} with torchvision {vision}: torch 2.N goes with torchvision 0.(N + 15)")
    if torch and vision and ("+cpu" in torch) != ("+cpu" in vision) and "+" in torch + vision:
        bad.append(f"torch {torch} with torchvision {vision}: both must be of one build")
    scipy = found.get("scipy")
    if scipy and _numbers(scipy) >= (1, 18):
        bad.append(f"clean-fid 0.1.35 with scipy {scipy}: scipy 1.18 removed an argument that clean-fid passes")
    return bad


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".")[:3] if part.isdigit())


def _devices() -> list[str]:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    native = "bf16" if torch.cpu._is_avx512_bf16_supported() else "no native bf16"
    return [f"CPU ({torch.get_num_threads()} threads, {native})", *gpus]


def _shipped(folder: str, pattern: str) -> list[str]:
    return sorted(path.name for path in (Path(__file__).parents[1] / folder).glob(pattern))
