"""Adaptive layer norm: a context vector shifts, scales and gates what a network does.

Sources: DiT (arXiv:2212.09748), section 3.2, "adaLN-Zero block"; MAR (arXiv:2406.11838), appendix, for the
residual MLP block with three modulations.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

TimeInput = Literal["entry", "data"]


class TimeEmbedding(nn.Module):
    """Times in [0, 1] as vectors: sines and cosines, then an MLP.

    Args:
        width: E, width of the vectors.
        frequencies: how many sines and cosines there are, together.
        time_input: what the sines see: "entry": 1000 t - 1, so that entry i of a table is i, as published networks
            expect; "data": 1 - t, the way from noise to data, as published flows do.
    """

    rates: Tensor  # (frequencies / 2,)

    def __init__(self, width: int, frequencies: int = 256, time_input: TimeInput = "entry") -> None:
        super().__init__()
        self.time_input = time_input
        half = frequencies // 2
        rates = torch.exp(-math.log(10000.0) * torch.arange(half) / half)
        self.register_buffer("rates", rates, persistent=False)
        first, second = nn.Linear(frequencies, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(first, nn.SiLU(), second)
        for layer in (first, second):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, t: Float[Tensor, "*rows"]) -> Float[Tensor, "*rows E"]:
        """One vector per time."""
        seen = 1000 * t - 1 if self.time_input == "entry" else 1 - t
        angles = seen[..., None] * self.rates
        return self.mlp(torch.cat([angles.cos(), angles.sin()], -1).to(self.rates.dtype))


class Modulation(nn.Module):
    """`parts` vectors of width `width` read from a context; all zero at first."""

    def __init__(self, context: int, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(context, parts * width)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, context: Float[Tensor, "*rows D"]) -> tuple[Tensor, ...]:
        """`parts` tensors (*rows, width)."""
        return self.linear(nn.functional.silu(context)).chunk(self.parts, -1)


class ModulationTable(nn.Module):
    """`parts` vectors of width `width` of its own, zero at first, each added to one that is given.

    Sources: PixArt-alpha (arXiv:2310.00426), section 2.3, "adaLN-single"; VAR's shared AdaLN; HART, whose blocks are
    all given the same pooled condition.
    """

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(parts, width))

    def forward(self, given: Sequence[Float[Tensor, "*rows width"]]) -> tuple[Tensor, ...]:
        """One vector given for each part."""
        return tuple(own + other for own, other in zip(self.table, given, strict=True))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift."""
    return torch.addcmul(x + shift, x, scale)


class AdaLNBlock(nn.Module):
    """A residual MLP on each vector by itself: x + gate MLP(norm(x) (1 + scale) + shift).

    Args:
        width: E, width of the stream and of the context.
        inner: width inside the MLP; None takes `width`.
    """

    def __init__(self, width: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or width
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, width))
        self.modulation = Modulation(width, width, 3)

    def forward(self, x: Float[Tensor, "B n E"], context: Float[Tensor, "B m E"]) -> Float[Tensor, "B n E"]:
        """`context` has one vector per position, or one per row (m = 1)."""
        shift, scale, gate = self.modulation(context)
        return torch.addcmul(x, gate, self.mlp(modulate(self.norm(x), shift, scale)))
