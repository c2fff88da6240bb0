"""Names that the next-scale transformers of VAR and HART share: HART's code was written over VAR's."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hybridgen.published.keymap import Ignore, Join, Move, Split, layer

Rule = Move | Join | Split | Ignore

# Theirs: gates, scales, shifts, of attention and MLP in turn. Ours: shift, scale, gate of attention, then of the MLP.
_SIX = (4, 2, 0, 5, 3, 1)


def reordered(order: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Equal parts along the first axis, in another order."""

    def change(value: Tensor) -> Tensor:
        parts = value.chunk(len(order))
        return torch.cat([parts[i] for i in order])

    return change


def side_by_side(*parts: Tensor) -> Tensor:
    """Several matrices as one, along the outputs."""
    return torch.cat(parts)


def stacked(*parts: Tensor) -> Tensor:
    """Several vectors as the rows of one table."""
    return torch.stack(parts)


def by_scale(table: Tensor, levels: Tensor) -> list[Tensor]:
    """The rows (1, L, D) of one table, scale by scale; `levels` (1, L) says which scale each belongs to."""
    return [part.clone() for part in table[0].split(levels[0].bincount().tolist())]


def scale_rules(qkv: str) -> list[Rule]:
    """All but the norms, the MLPs and the condition; `qkv`: how queries, keys and values together are called."""
    block, ours = r"blocks\.(\d+)\.", r"backbone.blocks.\1."
    return [
        layer("word_embed", "backbone.inp"),
        Split(r"pos_1LC", ["lvl_1L"], "backbone.places.tables.{}", by_scale),
        Move(r"lvl_embed\.weight", "backbone.places.levels"),
        Move(block + r"ada_lin\.1\.(weight|bias)", ours + r"modulation.linear.\2", reordered(_SIX)),
        Move(block + qkv + r"\.weight", ours + "attention.project.weight"),
        Join(block + r"attn\.q_bias", [r"blocks.\1.attn.v_bias"], ours + "attention.bias", stacked),
        Move(block + r"attn\.scale_mul_1H11", ours + "attention.log_scale", lambda scale: scale[0]),
        layer(block + r"attn\.proj", ours + "attention.out"),
        layer(block + r"ffn\.fc1", ours + "mlp.0"),
        layer(block + r"ffn\.fc2", ours + "mlp.2"),
        Move(r"head_nm\.ada_lin\.1\.(weight|bias)", r"code_head.modulation.linear.\1", reordered((1, 0))),
        layer("head", "code_head.out"),
        Ignore(block + r"attn\.zero_k_bias", "keys have no bias; it is written down as zeros"),
        Ignore(r"attn_bias_for_masking|lvl_1L", "who sees whom, and at which scale a position stands: both follow"),
    ]  # fmt: skip


def table(six: Tensor) -> Tensor:
    """A table of six modulations (..., 6, D) in our order."""
    return six.reshape(6, -1)[list(_SIX)]
