"""The weights of a pyramid tokenizer's losses."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights beside the squared error of the reconstruction, which has weight 1. Cards: registry/loss/.

    Args:
        l1: weight of the absolute error of the reconstruction.
        latent: weight of the latent's mean square, which keeps it bounded.
        quantizer: weight of the quantiser's loss.
        commitment: weight, inside the quantiser's loss, of pulling the encoder towards the codes.
        entropy: weight, inside the quantiser's loss, of the term that keeps all codes in use
            (see tokenizers/entropy.py).
        entropy_temperature: temperature of the soft assignment in that term.
    """

    l1: Annotated[float, Ge(0)] = 0.2
    latent: Annotated[float, Ge(0)] = 1e-3
    quantizer: Annotated[float, Ge(0)] = 0.05
    commitment: Annotated[float, Ge(0)] = 0.25
    entropy: Annotated[float, Ge(0)] = 0.0
    entropy_temperature: Annotated[float, Gt(0)] = 0.01
