"""The MLP of a transformer block: plain, or gated.

Sources: GELU (arXiv:1606.08415), exact and by tanh, section 2; SwiGLU (arXiv:2002.05202), eq. 6, without biases as in
the Llama family.
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

MLPKind = Literal["gelu", "gelu_erf", "swiglu"]


def make_mlp(kind: MLPKind, width: int, ratio: float, multiple: int = 1, dropout: float = 0.0) -> nn.Module:
    """An MLP from `width` to itself, `ratio` times as wide inside; a gated one by two thirds of that, to cost the same.

    `multiple`: the width inside is rounded up to a multiple of it. `dropout`: share of the numbers inside that training
    leaves out.
    """
    if kind == "swiglu":
        return GatedMLP(width, _up(int(2 * ratio * width / 3), multiple), dropout)
    inner = _up(round(ratio * width), multiple)
    bend: nn.Module = nn.GELU(approximate="tanh" if kind == "gelu" else "none")
    bend = nn.Sequential(bend, nn.Dropout(dropout)) if dropout else bend
    return nn.Sequential(nn.Linear(width, inner), bend, nn.Linear(inner, width))


class GatedMLP(nn.Module):
    """out(silu(gate x) * up x), without biases; one product for gate and up."""

    def __init__(self, width: int, inner: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.gate_and_up = nn.Linear(width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Float[Tensor, "*rows E"]) -> Float[Tensor, "*rows E"]:
        """Each vector by itself."""
        gate, up = self.gate_and_up(x).chunk(2, -1)
        inner = F.silu(gate) * up
        return self.out(F.dropout(inner, self.dropout, self.training) if self.dropout else inner)


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
