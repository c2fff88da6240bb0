"""Class-conditional accuracy: how often the judge assigns a sample to the class that was asked for.

It should not be optimised alone: it rises above that of real samples as variety is lost.
"""

from jaxtyping import Int
from torch import Tensor

from hybridgen.evaluation.base import Features, Interval, Measured, Metric, Real, Sample
from hybridgen.evaluation.feature_sources import FromJudge
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.intervals import share


class Accuracy(Metric):
    """`accuracy`, `accuracy_real` (of the test samples), and `accuracy/<class>`, with binomial intervals.

    Args:
        features: whose network guesses the classes.
    """

    figures = (
        FigureSpec("accuracy", "accuracy by the judge", format=".3f", better="high"),
        FigureSpec("accuracy_real", "of real samples", format=".3f", under="accuracy", real=True),
        FigureSpec("accuracy/*", "*", format=".3f", better="high", under="accuracy", chief=False),
    )
    needs_classes = True

    def __init__(self, *, features: Features = FromJudge()) -> None:
        self.features = features

    def measure(self, drawn: Sample, real: Real) -> Measured:
        """Shares of right guesses; nothing when the extractor guesses no classes, or there are none."""
        known = (drawn.predicted, drawn.labels, real.reference.predicted, real.reference.labels)
        if any(each is None for each in known) or not real.classes:
            return {}
        assert drawn.predicted is not None and drawn.labels is not None
        assert real.reference.predicted is not None and real.reference.labels is not None
        figures: Measured = {
            "accuracy": _right(drawn.predicted, drawn.labels),
            "accuracy_real": _right(real.reference.predicted, real.reference.labels),
        }
        for label, name in enumerate(real.classes):
            asked = drawn.labels == label
            if asked.any():
                figures[f"accuracy/{name}"] = _right(drawn.predicted[asked], drawn.labels[asked])
        return figures


def _right(predicted: Int[Tensor, " N"], labels: Int[Tensor, " N"]) -> Interval:
    return share(int((predicted == labels).sum()), len(labels))
