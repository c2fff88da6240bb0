"""A transformer block: attention, then an MLP, each after a norm that a context vector may modulate.

Sources: DiT (arXiv:2212.09748), section 3.2, "adaLN-Zero block"; VAR (arXiv:2404.02905), section 3.2, for the same
block in a causal transformer.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.nn.adaln import Modulation, modulate
from hybridgen.nn.attention import Attention, Bias, KeyValues


class Block(nn.Module):
    """x + attention, + cross attention where asked for, + MLP.

    Args:
        width: E, width of the stream and of the context.
        heads: of the attention; must divide `width`.
        mlp_ratio: width inside the MLP, in units of `width`.
        condition: "adaln": six modulations from a context vector, zero at first, so that the block begins as the
            identity; "none": plain norms with their own gain.
        cross: also attends to tokens.
        qk_norm: unit queries and keys with a learned scale a head.
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float = 4.0, condition: Literal["adaln", "none"] = "adaln",
        cross: bool = False, qk_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        plain, inner = condition == "none", round(mlp_ratio * width)
        self.modulation = None if plain else Modulation(width, width, 6)
        self.norm_attention = nn.LayerNorm(width, eps=1e-6, elementwise_affine=plain)
        self.attention = Attention(width, heads, qk_norm=qk_norm)
        self.norm_cross = nn.LayerNorm(width, eps=1e-6) if cross else None
        self.cross = Attention(width, heads, cross=True, qk_norm=qk_norm) if cross else None
        self.norm_mlp = nn.LayerNorm(width, eps=1e-6, elementwise_affine=plain)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"), nn.Linear(inner, width))

    def forward(
        self, x: Float[Tensor, "B n E"], context: Float[Tensor, "B E"] | None = None, bias: Bias | None = None,
        cache: KeyValues | None = None, tokens: Float[Tensor, "B P E"] | None = None,
        tokens_mask: Bool[Tensor, "B P"] | None = None,
    ) -> Float[Tensor, "B n E"]:  # fmt: skip
        """One vector a position. `bias` says who sees whom, `tokens_mask` which tokens are there."""
        if self.modulation is None:
            x = x + self.attention(self.norm_attention(x), bias, cache)
            x = self._read(x, tokens, tokens_mask)
            return x + self.mlp(self.norm_mlp(x))
        assert context is not None, "a modulated block needs a context vector"
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(context[:, None])
        attended = self.attention(modulate(self.norm_attention(x), shift_a, scale_a), bias, cache)
        x = self._read(torch.addcmul(x, gate_a, attended), tokens, tokens_mask)
        return torch.addcmul(x, gate_m, self.mlp(modulate(self.norm_mlp(x), shift_m, scale_m)))

    def _read(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """x with what it reads from the tokens, where there are any."""
        if self.cross is None or self.norm_cross is None or tokens is None:
            return x
        seen = None if mask is None else rearrange(mask, "B P -> B 1 1 P")
        return x + self.cross(self.norm_cross(x), seen, source=tokens)
