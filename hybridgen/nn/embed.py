"""Where things are: coordinates of a grid and their sines and cosines, in any number of dimensions."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.types import Grid


def grid_coordinates(grid: Grid) -> Float[Tensor, "N A"]:
    """The centre of each cell in [0, 1], row-major: all resolutions of a pyramid share this frame."""
    axes = [(torch.arange(side) + 0.5) / side for side in grid]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)


def sincos(coordinates: Float[Tensor, "N A"], width: int, finest: float = 64.0) -> Float[Tensor, "N D"]:
    """Sines and cosines of each coordinate at frequencies from 1/2 to `finest` steps; the rest of `width` is zero."""
    count = width // (2 * coordinates.shape[1])
    turns = torch.exp(torch.linspace(log(0.5), log(finest), count)) * 2 * torch.pi
    angles = (coordinates[..., None] * turns).flatten(1)  # (N, A * count)
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.nn.functional.pad(waves, (0, width - waves.shape[1]))
