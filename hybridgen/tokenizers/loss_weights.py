"""The weights of a tokenizer's losses, and the errors of a reconstruction that they weigh."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from hybridgen.tokenizers.perceptual import Measure


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of a pyramid tokenizer's losses. Cards: registry/loss/.

    Args:
        l2: weight of the squared error of the reconstruction.
        l1: weight of the absolute error of the reconstruction.
        latent: weight of the latent's mean square, which keeps it bounded.
        quantizer: weight of the quantiser's loss.
        commitment: weight, inside the quantiser's loss, of pulling the encoder towards the codes.
        entropy: weight, inside the quantiser's loss, of the term that keeps all codes in use
            (see tokenizers/entropy.py).
        entropy_temperature: temperature of the soft assignment in that term.
    """

    l2: Annotated[float, Ge(0)] = 1.0
    l1: Annotated[float, Ge(0)] = 0.2
    latent: Annotated[float, Ge(0)] = 1e-3
    quantizer: Annotated[float, Ge(0)] = 0.05
    commitment: Annotated[float, Ge(0)] = 0.25
    entropy: Annotated[float, Ge(0)] = 0.0
    entropy_temperature: Annotated[float, Gt(0)] = 0.01


def errors(
    given: Float[Tensor, "B X *size"], x: Float[Tensor, "B X *size"], l2: float, l1: float, measure: Measure | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of a reconstruction's errors, and each of them: "mse", "l1", and the perceptual one's name.

    Args:
        given: the reconstruction, float32.
        x: the data.
        l2, l1: weights of the squared and the absolute error.
        measure: the perceptual term, which knows its own weight; None: there is none.
    """
    error = given - x
    terms = {"mse": error.square().mean(), "l1": error.abs().mean()}
    total = l2 * terms["mse"] + l1 * terms["l1"]
    if measure is not None:
        terms[measure.name] = measure(given, x)
        total = total + measure.weight * terms[measure.name]
    return total, terms
