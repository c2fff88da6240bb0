"""Memorisation: how near drawn samples lie to training samples, compared with how near unseen real samples lie.

Distances are root mean squares over stored values, such as pixels in 0..255. A drawn sample is a near copy when it
lies nearer to its nearest training sample than 99 of 100 test samples do to theirs; so a faithful generator
scores 1 %.
"""

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hybridgen.data.base import Split
from hybridgen.evaluation.base import Measured, Metric, Real, Sample
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.intervals import share

_COPY_QUANTILE = 0.01
_CHUNK = 2000
_MOST = 10_000  # test samples whose distances tell how near is near


class Memorisation(Metric):
    """`nearest` and `nearest_real` (medians of drawn and of test samples), `near_copies` (share of the drawn)."""

    figures = (
        FigureSpec("nearest", "median distance to the nearest training sample", format=".1f", better="high"),
        FigureSpec("nearest_real", "of real samples", format=".1f", under="nearest", real=True),
        FigureSpec("near_copies", "share of near copies", format=".3f", better="low", chief=False),
    )

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Distances to the whole training set, by stored values: no network can hide a copy."""
        assert drawn.stored is not None, "drawn samples are at hand"
        ours = nearest(drawn.stored, real.train)
        theirs = nearest(real.test.stored(_some(real.test)), real.train)
        limit = float(np.quantile(theirs.numpy(), _COPY_QUANTILE))
        return {
            "nearest": float(ours.median()),
            "nearest_real": float(theirs.median()),
            "near_copies": share(int((ours < limit).sum()), len(ours)),
        }


def nearest(a: Shaped[Tensor, "N X *size"], among: Split) -> Float[Tensor, " N"]:
    """Root mean square distance of each of `a` to the nearest sample of a split, which is read piece by piece."""
    points = a.flatten(1).float()
    best = torch.full((len(points),), torch.inf)
    for chunk in among.chunks(_CHUNK):
        others = chunk.flatten(1).float()
        norms = others.square().sum(1)
        for start in range(0, len(points), _CHUNK):
            cut = slice(start, start + _CHUNK)
            candidates = (norms - 2 * points[cut] @ others.T).argmin(1)
            # the expanded square loses digits near zero: the winner's distance is taken again, directly
            found = (points[cut] - others[candidates]).square().mean(1).sqrt()
            nearer = found < best[cut]
            best[cut] = torch.where(nearer, found, best[cut])
    return best


def _some(split: Split) -> Int[Tensor, " K"]:
    """Numbers of the test samples that are measured: all of a small split, the same ones of a large one."""
    order = np.random.default_rng(0).permutation(len(split)) if len(split) > _MOST else np.arange(len(split))
    return torch.from_numpy(order[:_MOST])
