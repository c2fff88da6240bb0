"""Reading and writing at positions: `take` and `put` along axis 1, and grids as sequences."""

from math import prod

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from hybridgen.types import Grid


def take(x: Tensor, positions: Int[Tensor, "B n"]) -> Tensor:
    """Entries of x (B, N) or (B, N, C) at `positions`: (B, n) or (B, n, C)."""
    return x.gather(1, positions if x.dim() == 2 else positions[..., None].expand(-1, -1, x.shape[-1]))


def put(x: Tensor, positions: Int[Tensor, "B n"], values: Tensor) -> Tensor:
    """A copy of x (B, N) or (B, N, C) with `values` at `positions`."""
    index = positions if x.dim() == 2 else positions[..., None].expand(-1, -1, x.shape[-1])
    return x.scatter(1, index, values.to(x.dtype))


def to_sequence(grid_map: Float[Tensor, "B C *grid"]) -> Float[Tensor, "B N C"]:
    """A map as one vector a position, row-major."""
    return grid_map.flatten(2).transpose(1, 2)


def to_grid(vectors: Float[Tensor, "B N C"], grid: Grid) -> Float[Tensor, "B C *grid"]:
    """The inverse of `to_sequence`."""
    return vectors.transpose(1, 2).unflatten(-1, grid)


def every_position(batch: int, grid: Grid, device: torch.device | None = None) -> Int[Tensor, "B N"]:
    """All positions of a grid, for each row."""
    return torch.arange(prod(grid), device=device).expand(batch, -1)


def repeat_rows(x: Tensor, rows: int) -> Tensor:
    """x (B, ...) repeated to `rows` = B or 2B: what guided rows share."""
    return x if x.shape[0] == rows else x.repeat(rows // x.shape[0], *[1] * (x.dim() - 1))


def to_patches(x: Float[Tensor, "B N C"], grid: Grid, patch: int) -> Float[Tensor, "B m O"]:
    """Each patch of a grid as one vector: its positions row-major, the channels of each together."""
    whole, cut, inside, sides = _patch_axes(grid, patch)
    return rearrange(x, f"B ({whole}) C -> B ({cut}) ({inside} C)", **sides)


def from_patches(x: Float[Tensor, "B m O"], grid: Grid, patch: int) -> Float[Tensor, "B N C"]:
    """The inverse of `to_patches`."""
    whole, cut, inside, sides = _patch_axes(grid, patch)
    return rearrange(x, f"B ({cut}) ({inside} C) -> B ({whole}) C", **sides)


def _patch_axes(grid: Grid, patch: int) -> tuple[str, str, str, dict[str, int]]:
    """Names of the axes of a grid, of its patches and of a patch, and their lengths."""
    cut, inside = ([f"{letter}{i}" for i in range(len(grid))] for letter in "gp")
    sides = {name: side // patch for name, side in zip(cut, grid, strict=True)} | dict.fromkeys(inside, patch)
    return " ".join(f"{g} {p}" for g, p in zip(cut, inside, strict=True)), " ".join(cut), " ".join(inside), sides
