"""Peak signal-to-noise ratio."""

import math

from jaxtyping import Shaped
from torch import Tensor

_CHUNK = 1000  # rows at a time


def psnr(x: Shaped[Tensor, "N X *size"], given: Shaped[Tensor, "N X *size"], span: float) -> float:
    """dB of the mean squared error over all samples, against `span`, the width of the values' range; infinite if equal.

    The mean is taken before the logarithm, so that a few perfect samples do not lift the figure.
    """
    squares = 0.0
    for a, b in zip(x.split(_CHUNK), given.split(_CHUNK), strict=True):
        squares += float((a.double() - b.double()).square().sum())
    return 10 * math.log10(span**2 * x.numel() / squares) if squares else math.inf
