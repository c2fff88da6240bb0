"""Multi-head attention over a sequence, or from it to another, with a cache of keys and values for sampling.

Sources: attention (arXiv:1706.03762), eq. 1; unit queries and keys with a learned scale per head as in VAR
(arXiv:2404.02905), section 5.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.nn.rotary import Rotation

Bias = Bool[Tensor, "..."] | Float[Tensor, "..."]
"""Who sees whom, broadcastable to (B, heads, N, M): True where seen, or what is added to the scores."""
Biases = Literal["all", "no_key", "none"]
"""Which projections have biases: all | all but the keys' | none."""

_SMALL = 512 * 512  # on a CPU plain matmuls beat the fused kernel up to here, 1.6 times in training with a mask
_SMALL_UNMASKED = 128 * 128  # the same in sampling without a mask; below, its rounding tells in smoothed draws of HART
_UNSEEN = -1e9  # finite: a row that sees nothing gets the mean of all, never NaN
_STEEPEST = math.log(100.0)  # VAR's cap on the learned scale


@dataclass
class KeyValues:
    """Keys and values of what was seen so far, (B, heads, M, d)."""

    k: Float[Tensor, "B h M d"] | None = None
    v: Float[Tensor, "B h M d"] | None = None

    def append(self, k: Float[Tensor, "B h n d"], v: Float[Tensor, "B h n d"]) -> tuple[Tensor, Tensor]:
        """Appends n more; all there are, in the order they came."""
        if self.k is not None and self.v is not None:
            k, v = torch.cat([self.k, k], 2), torch.cat([self.v, v], 2)
        self.k, self.v = k, v
        return k, v


class Attention(nn.Module):
    """Attention with `heads` heads.

    Args:
        width: E, width of the stream.
        heads: must divide `width`.
        cross: keys and values come from `source` instead of x.
        qk_norm: unit queries and keys with a learned scale per head.
        biases: which projections have biases.
        gain: factor of the scores, in units of 1 / sqrt(d); not used with `qk_norm`.
        dropout: fraction of attention weights, and of the output, that training leaves out.
    """

    def __init__(
        self, width: int, heads: int, cross: bool = False, qk_norm: bool = False, biases: Biases = "all",
        gain: float = 1.0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heads, self.cross, self.gain, self.dropout = heads, cross, gain, dropout
        self.query = nn.Linear(width, width, bias=biases != "none") if cross else None
        self.project = nn.Linear(width, (2 if cross else 3) * width, bias=biases == "all")
        self.bias = nn.Parameter(torch.zeros(1 if cross else 2, width)) if biases == "no_key" else None
        self.out = nn.Linear(width, width, bias=biases != "none")
        self.log_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(4.0))) if qk_norm else None

    def forward(
        self, x: Float[Tensor, "B n E"], mask: Bias | None = None, cache: KeyValues | None = None,
        source: Float[Tensor, "B M E"] | None = None, rotation: Rotation | None = None,
    ) -> Float[Tensor, "B n E"]:  # fmt: skip
        """Attention of x to itself, to what `cache` holds before it, or to `source`. `cache` appends x."""
        if self.query is None:
            q, k, v = self._heads(self._projected(x), 3)
        else:
            assert source is not None, "cross attention needs a source"
            (q,) = self._heads(self.query(x), 1)
            k, v = self._heads(self._projected(source), 2)
        scale = self.gain * q.shape[-1] ** -0.5
        if self.log_scale is not None:
            q = F.normalize(q, dim=-1) * self.log_scale.clamp(max=_STEEPEST).exp().to(q.dtype)
            k, scale = F.normalize(k, dim=-1), 1.0
        if rotation is not None:
            q, k = rotation.rotate(q), rotation.rotate(k)
        if cache is not None:
            k, v = cache.append(k, v)
        left_out = self.dropout if self.training else 0.0
        out = self.out(attend(q, k, v, mask, scale, left_out).transpose(1, 2).flatten(2))  # (B, n, E)
        return F.dropout(out, left_out) if left_out else out

    def _heads(self, x: Float[Tensor, "B n E"], parts: int) -> Float[Tensor, "parts B h n d"]:
        """The parts of a projection, head by head; plain views, because this runs once per block and step."""
        return x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def _projected(self, x: Float[Tensor, "B n E"]) -> Tensor:
        """(Queries,) keys and values side by side."""
        if self.bias is None:
            return self.project(x)
        *queries, values = self.bias
        return F.linear(x, self.project.weight, torch.cat([*queries, torch.zeros_like(values), values]))


def attend(
    q: Float[Tensor, "B h n d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"],
    bias: Bias | None = None, scale: float | None = None, dropout: float = 0.0,
) -> Float[Tensor, "B h n d"]:  # fmt: skip
    """softmax(scale q k + bias) v, the softmax in float32; a share `dropout` of its weights is left out.

    Plain matmuls on a CPU for short sequences, the fused kernel elsewhere; both agree to 1e-5. Where nothing is masked
    or learnt, one query alone and longer sequences go to the fused kernel too: 0.3 and 0.7 to 0.9 of the time.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    product = q.shape[-2] * k.shape[-2]
    if bias is None and not torch.is_grad_enabled() and (q.shape[-2] == 1 or product > _SMALL_UNMASKED):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scale)
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros(bias.shape, device=bias.device).masked_fill(~bias, _UNSEEN)
    if q.device.type != "cpu" or product > _SMALL:
        bias = None if bias is None else bias.to(q.dtype)
        return F.scaled_dot_product_attention(q, k, v, bias, dropout_p=dropout, scale=scale)
    scores = (q * scale) @ k.transpose(-2, -1)
    scores = scores if bias is None else scores + bias  # a float32 bias makes the sum float32
    weights = scores.softmax(-1, dtype=torch.float32).to(v.dtype)
    return (F.dropout(weights, dropout) if dropout else weights) @ v
