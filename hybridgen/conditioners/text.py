"""Text as vectors of a language model, which stands outside: projected to the backbone's width, token by token.

Sources: HART (arXiv:2410.10812), section 3.2, for a norm and a linear map, and a null of zeros; LlamaGen
(arXiv:2406.06525), section 2.2, for an MLP, and a null of fixed random vectors.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybridgen.conditioners.base import Conditioner
from hybridgen.nn.draws import Draws
from hybridgen.nn.norm import make_norm
from hybridgen.types import Condition


class TextConditioner(Conditioner):
    """Tokens, their mask, and their positions: counted from 0, standing still where nothing is there.

    Reads of a batch "text", the language model's vectors (B, P, F), and "text_mask" (B, P), True where a token is.

    Args:
        width: D of the backbone.
        features: F of the language model's vectors.
        length: P, tokens that a text is cut or padded to.
        norm: of the vectors, before the projection.
        norm_eps: of that norm.
        project: to the backbone's width, by a linear map or by an MLP without biases.
        null_is: what stands for no text: vectors of zeros, or fixed random ones.
        null_mask: which of them are there: all, the first alone, or those that are in the row itself.
        drop: share of the training rows whose text is hidden, so that guidance has a null to lean on; their masks stay.
        encoder: name or folder of the language model whose vectors these are; loaded when a prompt is given.
        system: text that it reads before every prompt.
    """

    reads = ("text",)
    null: Tensor  # (P, F)

    def __init__(  # noqa: PLR0913 - options of a card
        self,
        width: int,
        *,
        features: Annotated[int, Ge(1)] = 1536,
        length: Annotated[int, Ge(1)] = 300,
        norm: Literal["none", "rms"] = "none",
        norm_eps: Annotated[float, Gt(0)] = 1e-6,
        project: Literal["linear", "mlp"] = "linear",
        null_is: Literal["zeros", "random"] = "zeros",
        null_mask: Literal["all", "first", "given"] = "all",
        drop: Annotated[float, Ge(0), Le(1)] = 0.1,
        encoder: str = "",
        system: str = "",
    ) -> None:
        super().__init__()
        self.text_features, self.length, self.null_mask, self.drop = features, length, null_mask, drop
        self.encoder, self.system = encoder, system
        self.norm = None if norm == "none" else make_norm(norm, features, norm_eps)
        self.project: nn.Module = nn.Linear(features, width) if project == "linear" else _mlp(features, width)
        null = torch.zeros(length, features) if null_is == "zeros" else torch.randn(length, features) / features**0.5
        self.register_buffer("null", null, persistent=null_is == "random")

    def forward(self, batch: Mapping[str, Any], rng: Draws | None) -> Condition:
        """Tokens of `batch["text"]`; with `rng` those of a share `drop` of the rows become the null's."""
        text = torch.as_tensor(batch["text"], device=self.null.device)
        mask = torch.as_tensor(batch["text_mask"], device=self.null.device).bool()
        tokens, null = self._project(text), self._project(self.null[None])
        null_mask = self._null_mask(mask)
        if rng is not None:
            hidden = rng.uniform(len(text)).to(text.device) < self.drop
            tokens = torch.where(hidden[:, None, None], null, tokens)
        nothing = Condition(tokens=null.expand(len(null_mask), -1, -1), mask=null_mask, positions=_counted(null_mask))
        return Condition(tokens=tokens, mask=mask, positions=_counted(mask), null=nothing)

    def _project(self, text: Float[Tensor, "B P F"]) -> Float[Tensor, "B P D"]:
        return self.project(text if self.norm is None else self.norm(text))

    def _null_mask(self, mask: Bool[Tensor, "B P"]) -> Bool[Tensor, "#B P"]:
        if self.null_mask == "given":
            return mask
        there = torch.ones_like(mask[:1])
        return there if self.null_mask == "all" else there & (torch.arange(self.length, device=mask.device) == 0)


def _mlp(features: int, width: int) -> nn.Module:
    first, second = nn.Linear(features, width, bias=False), nn.Linear(width, width, bias=False)
    return nn.Sequential(first, nn.GELU(approximate="tanh"), second)


def _counted(mask: Bool[Tensor, "B P"]) -> Float[Tensor, "B P 1"]:
    return (mask.cumsum(1) - 1)[..., None].float()
