"""A loss that keeps a codebook in use: each vector sure of its code, and all codes taken.

Source: MaskGIT's tokenizer (arXiv:2202.04200) and LlamaGen (arXiv:2406.06525), whose code defines it.
"""

from jaxtyping import Float
from torch import Tensor

_FLOOR = 1e-5  # inside the logarithm of the mean, as published


def entropy_loss(rows: Float[Tensor, "M C"], book: Float[Tensor, "V C"], temperature: float) -> Float[Tensor, ""]:
    """Mean entropy of softmax(-|x - e|^2 / temperature), less the entropy of its mean over rows."""
    distance = rows.square().sum(1, keepdim=True) + book.square().sum(1) - 2 * rows @ book.T
    log_share = (-distance / temperature).log_softmax(-1)
    share = log_share.exp()
    mean = share.mean(0)
    return -(share * log_share).sum(-1).mean() + (mean * (mean + _FLOOR).log()).sum()
