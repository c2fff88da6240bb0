"""Vectors that are added to a backbone's inputs: one for the position, one for the scale.

Sources: VAR (arXiv:2404.02905), section 3.2, for tables of both; HART (arXiv:2410.10812), section 3.2, for the scale's
index as sines and cosines through a network.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.nn.embed import grid_coordinates, sincos
from hybridgen.types import TokenSpec

PlaceKind = Literal["table", "sincos", "none"]
LevelKind = Literal["table", "resolution", "index", "none"]

_INDEX_WAVES = 256


class Places(nn.Module):
    """Position and level of each token, (B, n, D).

    Args:
        tokens: what the tokenizer offers.
        width: D.
        places: vectors of positions: tables, or sines and cosines of coordinates that all scales share.
        levels: vectors of scales: a table, or a network of the scale's share of the full grid, or of its index.
    """

    waves: Tensor  # (S, frequencies): sines and cosines of each scale's share or index

    def __init__(self, tokens: TokenSpec, width: int, places: PlaceKind, levels: LevelKind) -> None:
        super().__init__()
        self.width = width
        coordinates = [grid_coordinates(grid) for grid in tokens.scales]
        self.tables, self.project = None, None
        if places == "table":
            self.tables = nn.ParameterList(nn.Parameter(0.02 * torch.randn(len(c), width)) for c in coordinates)
        elif places == "sincos":
            waves = [sincos(c, width) for c in coordinates]
            self.tables = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w in waves)
            self.project = nn.Linear(width, width)
        self.levels = nn.Parameter(0.02 * torch.randn(len(tokens.scales), width)) if levels == "table" else None
        known_by = _shares(tokens, width) if levels == "resolution" else _indices(len(tokens.scales))
        self.level_net = _level_net(known_by.shape[1], width) if levels in ("resolution", "index") else None
        self.register_buffer("waves", known_by, persistent=False)

    def forward(self, s: int, positions: Int[Tensor, "B n"]) -> Float[Tensor, "B n D"]:
        """Sum of the two embeddings, or the one that there is."""
        if self.tables is None:
            return self.level(s).expand(*positions.shape, -1)
        place = self.tables[s][positions]
        return (place if self.project is None else self.project(place)) + self.level(s)

    def level(self, s: int) -> Float[Tensor, " D"]:
        """Vector of scale s alone; zero where scales have no vectors."""
        if self.levels is not None:
            return self.levels[s]
        return self.waves.new_zeros(self.width) if self.level_net is None else self.level_net(self.waves[s])


def _level_net(frequencies: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))


def _shares(tokens: TokenSpec, width: int) -> Float[Tensor, "S D"]:
    """Sines and cosines of each scale's share of the full grid."""
    share = [[g / full for g, full in zip(grid, tokens.grid, strict=True)] for grid in tokens.scales]
    return sincos(torch.tensor(share), width)


def _indices(scales: int) -> Float[Tensor, "S _"]:
    """Cosines and sines of each scale's index, as published networks expect."""
    half = _INDEX_WAVES // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
    angles = torch.arange(scales)[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], 1)
