"""Where and in which precision to compute."""

import os
from dataclasses import dataclass, field
from typing import Literal

import torch

from hybridgen.system.errors import UserError
from hybridgen.training.compute import Compute


@dataclass(frozen=True)
class Machine:
    """A device, a precision and how many processes; `lightning` is the precision in Lightning's words."""

    device: torch.device
    precision: Literal["fp32", "bf16"]
    compute: Compute = field(default_factory=Compute)

    @property
    def lightning(self) -> Literal["32-true", "bf16-mixed"]:
        """Lightning's name of the precision (fp16 on a CPU would silently become bf16, so it is not offered)."""
        return "bf16-mixed" if self.precision == "bf16" else "32-true"

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        spread = f", {self.compute.world} processes by {self.compute.strategy}" if self.compute.world > 1 else ""
        threads = f", {torch.get_num_threads()} threads" if name == "CPU" else ""
        return f"{name}, {self.precision}{threads}{spread}"


def choose(device: str, precision: str, compute: Compute | None = None) -> Machine:
    """The machine of a config's `device` and `precision`; auto takes a GPU if there is one, bf16 where it is native.

    Of several processes on a machine each takes the GPU of its own number, which its launcher has told it.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda', but torch sees no GPU here; use device=auto or device=cpu")
    name = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    native = torch.cuda.is_bf16_supported() if name == "cuda" else torch.cpu._is_avx512_bf16_supported()
    chosen: Literal["fp32", "bf16"] = "bf16" if precision == "bf16" or (precision == "auto" and native) else "fp32"
    compute = compute or Compute()
    shared = name == "cuda" and compute.world > 1
    where = (
        torch.device(name, int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0))))
        if shared
        else torch.device(name)
    )
    return Machine(where, chosen, compute)
