"""A generator whose weights, gradients and optimiser are split over processes (FSDP2), and back again.

Source: torch.distributed.fsdp.fully_shard. Each block of a list of blocks is gathered when its step comes, the rest of
the model when `loss` is called; the frozen tokenizer stays whole everywhere.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from hybridgen.system.distributed import world
from hybridgen.training.generator_module import GeneratorModule


def split(module: GeneratorModule, device: torch.device) -> GeneratorModule:
    """A copy of the module that trains the same, split over all processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    parted, mesh = copy.deepcopy(module), init_device_mesh(device.type, (world(),))
    for part in parted.model.children():
        if part is parted.model.tokenizer:
            continue
        for blocks in part.modules():
            for block in blocks if isinstance(blocks, nn.ModuleList) else ():
                fully_shard(block, mesh=mesh)
                if hasattr(block, "modulate"):  # is called apart from `forward`, once a sample
                    register_fsdp_forward_method(block, "modulate")
    fully_shard(parted.model, mesh=mesh, ignored_params=set(parted.model.tokenizer.parameters()))
    register_fsdp_forward_method(parted.model, "loss")
    return parted


def local(weight: Tensor) -> Tensor:
    """This process's part of a weight, the memory itself; a weight that is not split is its own part."""
    parted = _as_split(weight)
    if parted is None:
        return weight
    with torch.no_grad():
        part: Tensor = parted.to_local()
    return part


def whole(part: Tensor, like: Tensor) -> Tensor:
    """The tensor that the processes' parts make, split as `like` is; all processes call it together."""
    parted = _as_split(like)
    if parted is None:
        return part
    from torch.distributed.tensor import DTensor

    size, stride = parted.shape, parted.stride()
    joined = DTensor.from_local(part, parted.device_mesh, parted.placements, run_check=False, shape=size, stride=stride)
    full: Tensor = joined.full_tensor()
    return full


def share_of(full: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor that this process keeps, split as `like` is; all processes call it together."""
    parted = _as_split(like)
    if parted is None:
        return full
    from torch.distributed.tensor import distribute_tensor

    part: Tensor = distribute_tensor(full.to(parted.device), parted.device_mesh, parted.placements).to_local()
    return part


def _as_split(weight: Tensor) -> Any:
    """A weight that is split (a DTensor); None for one that is whole."""
    return weight if hasattr(weight, "device_mesh") else None
