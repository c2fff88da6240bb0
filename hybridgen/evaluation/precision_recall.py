"""Precision and recall: how many drawn samples look real, and how many real samples are covered by drawn ones.

A set's manifold is the union of balls around its members, each reaching to its third-nearest neighbour.

Source: arXiv:1904.06991, section 3. Both depend on the number of samples, so both sides are cut to the same number.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from hybridgen.evaluation.base import Features, Measured, Metric, Real, Sample
from hybridgen.evaluation.feature_sources import FromJudge
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.intervals import share
from hybridgen.system.errors import UserError

_NEIGHBOUR = 3
_CHUNK = 2000


class PrecisionRecall(Metric):
    """`precision` and `recall`, and both for the control (`_real`), with intervals over samples at fixed manifolds.

    Args:
        features: that neighbours are found by.
    """

    figures = (
        FigureSpec("precision", "precision", format=".3f", better="high"),
        FigureSpec("precision_real", "of real samples", format=".3f", under="precision", chief=False, real=True),
        FigureSpec("recall", "recall", format=".3f", better="high"),
        FigureSpec("recall_real", "of real samples", format=".3f", under="recall", chief=False, real=True),
    )

    def __init__(self, *, features: Features = FromJudge()) -> None:
        self.features = features

    def check(self, drawn: int, reference: int, features: int) -> None:
        """More samples than neighbours are needed on both sides."""
        if min(drawn, reference) <= _NEIGHBOUR:
            raise UserError(
                f"metrics.samples: precision and recall need more than {_NEIGHBOUR} samples a side; given"
                f" {drawn} drawn and {reference} real ones"
            )

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Shares of samples inside the other set's manifold; the larger set is thinned by a fixed seed."""
        reference = real.reference.features
        count = min(len(drawn.features), len(reference), len(real.control.features))
        self.check(count, count, reference.shape[1])
        rng = np.random.default_rng(0)
        some, known, control = (
            rng.permutation(side)[:count] for side in (drawn.features, reference, real.control.features)
        )
        inside = {
            "precision": covered(some, known), "recall": covered(known, some),
            "precision_real": covered(control, known), "recall_real": covered(known, control),
        }  # fmt: skip
        return {name: share(int(hits.sum()), count) for name, hits in inside.items()}


def covered(a: Float[ndarray, "N F"], b: Float[ndarray, "M F"]) -> Bool[ndarray, " N"]:
    """Which of `a` lie within the manifold of `b`."""
    points, centres = torch.from_numpy(a), torch.from_numpy(b)
    exact = "donot_use_mm_for_euclid_dist"  # the fast form loses digits where neighbours are close
    own = torch.cat([torch.cdist(rows, centres, compute_mode=exact) for rows in centres.split(_CHUNK)])
    radii = own.kthvalue(_NEIGHBOUR + 1, dim=1).values  # the nearest is the sample itself
    hits = [(torch.cdist(rows, centres, compute_mode=exact) <= radii).any(1) for rows in points.split(_CHUNK)]
    return torch.cat(hits).numpy()
