"""Memorisation: how near drawn pictures lie to training pictures, against how near unseen real ones lie.

Distances are root mean squares over pixels, in 0..255. A drawn picture is a near copy when it lies nearer to its
nearest training picture than 99 of 100 test pictures do to theirs; so 1 % is what a faithful generator scores.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hybridgen.evaluation.base import Measured, Metric, Real, Sample
from hybridgen.evaluation.intervals import share

_COPY_QUANTILE = 0.01
_CHUNK = 500


class Memorisation(Metric):
    """`nearest` and `nearest_real` (medians of drawn and of test pictures), `near_copies` (share of the drawn)."""

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Distances to the whole training set, by pixels: no network can hide a copy."""
        ours = nearest(drawn.pixels, real.train.x)
        theirs = nearest(real.test.x, real.train.x)
        limit = float(np.quantile(theirs.numpy(), _COPY_QUANTILE))
        return {
            "nearest": float(ours.median()),
            "nearest_real": float(theirs.median()),
            "near_copies": share(int((ours < limit).sum()), len(ours)),
        }


def nearest(a: UInt8[Tensor, "N X *size"], b: UInt8[Tensor, "M X *size"]) -> Float[Tensor, " N"]:
    """Root mean square pixel distance of each of `a` to the nearest of `b`."""
    points, others = a.flatten(1).float(), b.flatten(1).float()
    norms = others.square().sum(1)
    best = []
    for rows in points.split(_CHUNK):
        candidates = (norms - 2 * rows @ others.T).argmin(1)
        # the expanded square loses digits near zero: the winner's distance is taken again, directly
        best.append((rows - others[candidates]).square().mean(1).sqrt())
    return torch.cat(best)
