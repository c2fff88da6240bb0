"""A transformer block: attention, then an MLP, each after a norm that a context vector may modulate.

Sources: DiT (arXiv:2212.09748), section 3.2, "adaLN-Zero block"; VAR (arXiv:2404.02905), section 3.2, for the same
block in a causal transformer; Llama (arXiv:2302.13971), section 2.2, for root mean square norms and gated MLPs.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import torch
from annotated_types import Ge, Gt, Lt
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.nn.adaln import Modulation, ModulationTable, modulate
from hybridgen.nn.attention import Attention, Bias, Biases, KeyValues
from hybridgen.nn.mlp import MLPKind, make_mlp
from hybridgen.nn.norm import NormKind, make_norm
from hybridgen.nn.rotary import Rotation

ConditionKind = Literal["adaln", "table", "none"]


@dataclass(frozen=True, kw_only=True)
class BlockStyle:
    """The ways in which the blocks of different families of transformers differ. Cards: registry/block/.

    Args:
        norm: kind of norm.
        norm_eps: epsilon of the norms.
        norm_gain: modulated norms have parameters of their own, as plain ones always do.
        one_norm: attention and MLP of a block share one norm.
        mlp: kind of MLP.
        mlp_multiple: the width inside the MLP is rounded up to a multiple of this.
        qk_norm: queries and keys are normalised, with a learned scale per head.
        attention_gain: factor of the attention scores, in units of 1 / sqrt(d); not used with `qk_norm`.
        biases: which of the attention's projections have biases.
        dropout: fraction of attention weights, and of each sublayer's output, that training leaves out.
    """

    norm: NormKind = "layer"
    norm_eps: Annotated[float, Gt(0)] = 1e-6
    norm_gain: bool = False
    one_norm: bool = False
    mlp: MLPKind = "gelu"
    mlp_multiple: Annotated[int, Ge(1)] = 1
    qk_norm: bool = False
    attention_gain: Annotated[float, Gt(0)] = 1.0
    biases: Biases = "all"
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0


PLAIN: Final = BlockStyle()


class Block(nn.Module):
    """x + attention, + cross attention where asked for, + MLP.

    Args:
        width: E, width of the stream and of the context.
        heads: number of attention heads; must divide `width`.
        mlp_ratio: width inside the MLP, in units of `width`.
        condition: "adaln": six modulations from a context vector, zero at first, so that the block begins as the
            identity; "table": six of its own, each added to a given one; "none": plain norms.
        cross: also attends to tokens.
        style: norms, MLP, biases and attention.
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float = 4.0, condition: ConditionKind = "adaln",
        cross: bool = False, style: BlockStyle = PLAIN,
    ) -> None:  # fmt: skip
        super().__init__()
        own = condition == "none" or style.norm_gain
        self.modulation = _modulation(condition, width)
        self.norm_attention = make_norm(style.norm, width, style.norm_eps, own)
        how = (style.qk_norm, style.biases, style.attention_gain, style.dropout)
        self.attention = Attention(width, heads, False, *how)
        self.norm_cross = make_norm(style.norm, width, style.norm_eps) if cross else None
        self.cross = Attention(width, heads, True, *how) if cross else None
        self.norm_mlp = None if style.one_norm else make_norm(style.norm, width, style.norm_eps, own)
        self.mlp = make_mlp(style.mlp, width, mlp_ratio, style.mlp_multiple, style.dropout)
        self.dropped: nn.Module = nn.Dropout(style.dropout) if style.dropout else nn.Identity()  # the MLP's output

    def forward(
        self, x: Float[Tensor, "B n E"], context: Float[Tensor, "B E"] | tuple[Tensor, ...] | None = None,
        bias: Bias | None = None, cache: KeyValues | None = None, tokens: Float[Tensor, "B P E"] | None = None,
        tokens_mask: Bool[Tensor, "B P"] | None = None, rotation: Rotation | None = None,
    ) -> Float[Tensor, "B n E"]:  # fmt: skip
        """One vector per position. `bias`: who sees whom; `tokens_mask`: which tokens are no padding.

        `context`: a vector per row, or the six modulations (B, 1, E) that `modulate` made of it, to be used again.
        """
        norm_mlp = self.norm_attention if self.norm_mlp is None else self.norm_mlp
        if self.modulation is None:
            x = x + self.attention(self.norm_attention(x), bias, cache, None, rotation)
            x = self._read(x, tokens, tokens_mask)
            return x + self.dropped(self.mlp(norm_mlp(x)))
        assert context is not None, "a modulated block needs a context vector"
        six = context if isinstance(context, tuple) else self.modulate(context[:, None])
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = six
        attended = self.attention(modulate(self.norm_attention(x), shift_a, scale_a), bias, cache, None, rotation)
        x = self._read(torch.addcmul(x, gate_a, attended), tokens, tokens_mask)
        return torch.addcmul(x, gate_m, self.dropped(self.mlp(modulate(norm_mlp(x), shift_m, scale_m))))

    def modulate(self, given: Float[Tensor, "B 1 E"] | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The six modulations, (B, 1, E) each, from a vector, or from six where the block has a table."""
        assert self.modulation is not None, "a plain block is not modulated"
        return self.modulation(given)

    def _read(self, x: Tensor, tokens: Tensor | None, mask: Tensor | None) -> Tensor:
        """x plus its cross attention to the tokens, if there are any."""
        if self.cross is None or self.norm_cross is None or tokens is None:
            return x
        seen = None if mask is None else rearrange(mask, "B P -> B 1 1 P")
        return x + self.cross(self.norm_cross(x), seen, source=tokens)


def _modulation(condition: ConditionKind, width: int) -> Modulation | ModulationTable | None:
    if condition == "none":
        return None
    return Modulation(width, width, 6) if condition == "adaln" else ModulationTable(width, 6)
