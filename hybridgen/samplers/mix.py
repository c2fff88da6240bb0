"""Mixtures of codebook vectors in place of the drawn code's (the smoothing of HART's demo, arXiv:2410.10812)."""

import torch
from jaxtyping import Float
from torch import Tensor


def gumbel_mixture(
    logits: Float[Tensor, "B n V"], uniform: Float[Tensor, "B n V"], temperature: float
) -> Float[Tensor, "B n V"]:
    """Weights of a Gumbel-softmax: the colder, the nearer to a single code drawn from the softmax of `logits`."""
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7)))
    return ((logits.float() + gumbel) / temperature).softmax(-1)
