"""Between the resolutions of a pyramid: area mean down, smooth up, in one, two and three dimensions."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hybridgen.types import Grid

_SMOOTH = {1: "linear", 2: "bicubic", 3: "trilinear"}


def shrink(x: Float[Tensor, "B C *grid"], grid: Grid) -> Float[Tensor, "B C *small"]:
    """Area mean onto a coarser grid; the same tensor when the grid is the same (VAR: `area`)."""
    return x if tuple(x.shape[2:]) == tuple(grid) else F.interpolate(x.float(), grid, mode="area")


def enlarge(x: Float[Tensor, "B C *small"], grid: Grid) -> Float[Tensor, "B C *grid"]:
    """Smooth interpolation onto a finer grid; the same tensor when the grid is the same (VAR: `bicubic` in 2-D)."""
    if tuple(x.shape[2:]) == tuple(grid):
        return x
    return F.interpolate(x.float(), grid, mode=_SMOOTH[len(grid)], align_corners=False)
