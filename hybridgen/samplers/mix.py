"""Mixtures of codebook vectors in place of the drawn code's (the smoothing of HART's demo, arXiv:2410.10812)."""

from jaxtyping import Float
from torch import Tensor


def gumbel_mixture(
    logits: Float[Tensor, "B n V"], gumbel: Float[Tensor, "B n V"], temperature: float, gain: float = 1.0
) -> Float[Tensor, "B n V"]:
    """Weights of a Gumbel-softmax: the colder, the nearer to a single code drawn from softmax(gain x logits)."""
    return ((gain * logits.float() + gumbel) / temperature).softmax(-1)
