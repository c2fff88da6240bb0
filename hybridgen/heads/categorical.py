"""Categorical head: a softmax over the codebook, its norm modulated by the condition.

Sources: VAR (arXiv:2404.02905), section 3.2 and released code, for the modulated norm and the order of the filters
(guidance, temperature, top-k, top-p); nucleus sampling (arXiv:1904.09751), section 3.1.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge, Gt, Lt
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from hybridgen.heads.base import CodeHead
from hybridgen.nn.adaln import Modulation, modulate
from hybridgen.nn.norm import NormKind, make_norm
from hybridgen.nn.pool import PoolKind, pooled
from hybridgen.system.errors import UserError
from hybridgen.types import Condition, TokenSpec


class CategoricalHead(CodeHead):
    """One softmax per position.

    Args:
        tokens: what the tokenizer offers; gives V.
        width: D, width of the hidden vectors.
        condition_width: width of the condition; None: the same.
        modulated: the norm before the logits is shifted and scaled by the condition.
        pool: the condition as one vector for that.
        norm: kind of that norm.
        norm_eps: epsilon of that norm.
        norm_gain: a modulated norm has parameters of its own, as a plain one always does.
        bias: the logits have a bias.
        first_gain: factor of the first weights; near 0 the first distribution is nearly uniform, the loss nearly ln V.
        label_smoothing: fraction of each target that training spreads over all codes.
    """

    uniforms = 1

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        tokens: TokenSpec,
        width: int,
        condition_width: int | None = None,
        *,
        modulated: bool = True,
        pool: PoolKind = "given",
        norm: NormKind = "layer",
        norm_eps: Annotated[float, Gt(0)] = 1e-6,
        norm_gain: bool = False,
        bias: bool = True,
        first_gain: Annotated[float, Ge(0)] = 0.02,
        label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0,
    ) -> None:
        super().__init__()
        if tokens.vocab == 0:
            raise UserError(
                "model.code_head: categorical: the tokenizer gives no codes; take a tokenizer with codes, or set "
                "model.code_head=null"
            )
        self.pool, self.label_smoothing = pool, label_smoothing
        self.norm = make_norm(norm, width, norm_eps, norm_gain or not modulated)
        self.modulation = Modulation(condition_width or width, width, 2) if modulated else None
        self.out = nn.Linear(width, tokens.vocab, bias=bias)
        with torch.no_grad():
            self.out.weight.mul_(first_gain)
            if bias:
                self.out.bias.zero_()

    def logits(self, hidden: Float[Tensor, "rows n D"], condition: Condition) -> Float[Tensor, "rows n V"]:
        """Unnormalised log-probabilities."""
        x = self.norm(hidden)
        if self.modulation is not None:
            x = modulate(x, *self.modulation(pooled(condition, self.pool)[:, None]))
        return self.out(x)

    def loss(self, logits: Float[Tensor, "B n V"], codes: Int[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Cross-entropy per position, in nats and float32."""
        return self._cross_entropy(logits, codes, self.label_smoothing)

    def log_prob(self, logits: Float[Tensor, "B n V"], codes: Int[Tensor, "B n"]) -> Float[Tensor, "B n"]:
        """Log-probability of each code, in nats and float32."""
        return -self._cross_entropy(logits, codes, 0.0)

    def filtered(
        self, logits: Float[Tensor, "B n V"], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
    ) -> Float[Tensor, "B n V"]:
        """Logits in float64 of what may be drawn, -inf elsewhere; at temperature 0, which draws the mode, as at 1."""
        return filter_logits(logits.double() / (temperature or 1.0), top_k, top_p)

    def draw(
        self, logits: Float[Tensor, "B n V"], uniform: Float[Tensor, "B n u"],
        temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
    ) -> Int[Tensor, "B n"]:  # fmt: skip
        """The first code whose cumulated probability exceeds the uniform number, in vocabulary order and float64."""
        if temperature == 0:
            return logits.argmax(-1)
        cumulated = self.filtered(logits, temperature, top_k, top_p).softmax(-1).cumsum(-1)
        mark = uniform.to(cumulated) * cumulated[..., -1:]  # rounding may leave the last sum short of 1
        return torch.searchsorted(cumulated, mark, right=True).squeeze(-1)

    def _cross_entropy(self, logits: Tensor, codes: Tensor, smoothing: float) -> Float[Tensor, "B n"]:
        by_code = rearrange(logits.float(), "B n V -> B V n")
        return F.cross_entropy(by_code, codes, reduction="none", label_smoothing=smoothing)


def filter_logits(logits: Float[Tensor, "*rows V"], top_k: int = 0, top_p: float = 1.0) -> Float[Tensor, "*rows V"]:
    """Logits with -inf where a code may not be drawn.

    First all but the `top_k` likeliest go (0 keeps all; ties with the last one stay). Then, of the distribution that is
    left, all beyond the likeliest that together reach `top_p` go; the one that reaches it stays.
    """
    if 0 < top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[..., -1:], -torch.inf)
    if top_p < 1:
        ordered, index = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
        beyond = ordered.cumsum(-1) - ordered >= top_p
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, index, beyond), -torch.inf)
    return logits
