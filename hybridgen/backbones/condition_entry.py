"""How a condition enters a causal backbone: as the first input, as a prefix, as a modulation, by cross attention."""

from dataclasses import dataclass
from typing import Literal

from hybridgen.nn.pool import PoolKind


@dataclass(frozen=True, kw_only=True)
class ConditionEntry:
    """How the condition enters. Cards: registry/condition/.

    Args:
        start: input of the first step: "learned": a learned vector plus a linear map of the condition; "vector": the
            learned vector plus the condition's vector as it is; "prefix": none, for the prefix' last token stands in
            its place and draws the first position.
        prefix: what precedes the first step: the condition's tokens, its vector as one token, or both.
        prefix_sees: a token of the prefix sees the whole prefix, or itself and the tokens before it.
        padding: padding among the condition's tokens is masked, or seen like other tokens.
        modulation: how the condition modulates the blocks: "block": by a linear map in each; "shared": by one map that
            all share, plus a table in each; "pooled": by the pooled condition itself, plus a table in each; "none".
        pool: the condition as one vector for the modulation.
        cross: blocks attend to the condition's tokens instead of taking them as a prefix.
    """

    start: Literal["learned", "vector", "prefix"] = "learned"
    prefix: Literal["tokens", "vector", "both"] = "tokens"
    prefix_sees: Literal["all", "past"] = "all"
    padding: Literal["masked", "seen"] = "masked"
    modulation: Literal["block", "shared", "pooled", "none"] = "block"
    pool: PoolKind = "given"
    cross: bool = False
