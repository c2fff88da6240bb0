"""A condition as one vector per row."""

from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hybridgen.types import Condition

PoolKind = Literal["given", "mean", "max"]


def pooled(condition: Condition, how: PoolKind) -> Float[Tensor, "rows D"]:
    """The vector that the condition gives, or the mean of its tokens without padding, or the maximum over all tokens.

    Without tokens it is the vector. "max" sees padding too (HART, arXiv:2410.10812, released code).
    """
    tokens = condition.tokens
    if how == "given" or tokens is None:
        return condition.pooled()
    if how == "max":
        return tokens.amax(1)
    if condition.mask is None:
        return tokens.mean(1)
    there = rearrange(condition.mask, "rows P -> rows P 1").to(tokens.dtype)
    return (tokens * there).sum(1) / there.sum(1).clamp(min=1)
