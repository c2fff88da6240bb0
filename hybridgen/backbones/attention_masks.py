"""Who sees whom in a sequence of steps behind a prefix: the masks of a backbone that is causal across steps."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool
from torch import Tensor

from hybridgen.types import Condition, StepLayout


def step_causal(due: StepLayout, prefix: int, one_by_one: bool, skip: int) -> Bool[Tensor, "M M"]:
    """Each position sees its own step and those before it, and all of the prefix.

    Args:
        due: the positions that are due.
        prefix: number of tokens in the prefix.
        one_by_one: a token of the prefix sees itself and those before it, instead of the whole prefix.
        skip: number of positions for which the prefix' last tokens stand.
    """
    before = torch.full((prefix,), -1, device=due.positions.device)
    before = before.cumsum(0).flip(0) if one_by_one else before
    step = torch.cat([before, due.step[skip:]])
    return step[:, None] >= step[None]


def unpadded(condition: Condition, keys: int) -> Bool[Tensor, "rows 1 1 M"] | None:
    """The tokens of a prefix that are no padding, and all that follows it; None if nothing is padded."""
    if condition.mask is None or condition.tokens is None:
        return None
    return rearrange(F.pad(condition.mask, (0, keys - condition.mask.shape[1]), value=True), "rows M -> rows 1 1 M")


def both(one: Bool[Tensor, "..."] | None, other: Bool[Tensor, "..."] | None) -> Bool[Tensor, "..."] | None:
    """What both allow; None allows all."""
    return one if other is None else other if one is None else one & other
