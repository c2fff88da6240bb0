"""Kernel distance, precision and recall, accuracy, memorisation, intervals: known values and what they are for."""

import numpy as np
import pytest
import torch

from hybridgen.data.base import MemorySplit
from hybridgen.evaluation.accuracy import Accuracy
from hybridgen.evaluation.base import Real, Sample
from hybridgen.evaluation.intervals import around, share
from hybridgen.evaluation.kid import KernelDistance, kernel_distance, mmd2
from hybridgen.evaluation.memorisation import Memorisation, nearest
from hybridgen.evaluation.precision_recall import PrecisionRecall, covered
from hybridgen.media.image import ImageMedium


def points(seed, count=300, shift=0.0, spread=1.0, width=5):
    return np.random.default_rng(seed).normal(size=(count, width)) * spread + shift


def sample(seen=None, pixels=None, labels=None, predicted=None):
    count = next(len(given) for given in (seen, pixels, labels) if given is not None)
    pixels = torch.zeros(count, 1, 2, 2, dtype=torch.uint8) if pixels is None else pixels
    labels = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    return Sample(np.zeros((count, 2)) if seen is None else seen, labels, predicted, pixels)


def real(reference, control, test=None, train=None, classes=()):
    nothing = MemorySplit(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), label=torch.zeros(0, dtype=torch.int64))
    return Real(reference, control, test or nothing, train or nothing, ImageMedium(channels=1, size=2), classes)


def test_kernel_distance_by_hand():
    """Against the definition, summed pair by pair."""
    a, b = points(0, 6), points(1, 5)

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    own = sum(kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j) / 30
    own += sum(kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j) / 20
    across = sum(kernel(x, y) for x in a for y in b) / 30
    assert mmd2(a, b) == pytest.approx(own - 2 * across)


def test_kernel_distance_is_unbiased_and_may_be_negative():
    """Sets of one source: zero on average, at any number of pictures, with values on both sides of it."""
    for count in (20, 80):
        values = np.array([mmd2(points(2 * i, count), points(2 * i + 1, count)) for i in range(100)])
        assert abs(values.mean()) < 3.5 * values.std() / np.sqrt(len(values))
        assert values.min() < 0 < values.max()


def test_kernel_distance_agrees_with_clean_fid():
    """Their estimate averages random subsets of up to 1,000; with all pictures in each it is the same number."""
    from cleanfid import fid

    a, b = points(0, 500), points(1, 500, shift=0.2)
    theirs = fid.kernel_distance(a, b, num_subsets=3, max_subset_size=500)
    assert mmd2(a, b) == pytest.approx(float(theirs), rel=1e-6)


def test_the_interval_of_the_kernel_distance():
    """It holds zero for one source, and not for two; and covers the truth about as often as it says."""
    assert kernel_distance(points(0), points(1, shift=0.5)).low > 0
    found = [kernel_distance(points(2 * i, 100), points(2 * i + 1, 100)) for i in range(40)]
    assert sum(interval.low <= 0 <= interval.high for interval in found) >= 35
    measured = KernelDistance().measure(sample(points(0)), real(sample(points(1)), sample(points(2))))
    assert measured["kid"].low <= measured["kid"].value <= measured["kid"].high


def test_precision_and_recall():
    """A narrow source is precise and covers little; a wide one the other way round."""
    truth = real(sample(points(0)), sample(points(1)))
    narrow = PrecisionRecall().measure(sample(points(2, spread=0.3)), truth)
    wide = PrecisionRecall().measure(sample(points(2, spread=2.5)), truth)
    same = PrecisionRecall().measure(sample(points(2)), truth)
    assert narrow["precision"].value > 0.95 > 0.4 > narrow["recall"].value
    assert wide["recall"].value > 0.5 > wide["precision"].value
    assert same["precision"].low < same["precision_real"].value < same["precision"].high
    assert PrecisionRecall().measure(sample(points(0)), truth)["precision"].value == 1.0


def test_the_larger_side_is_thinned():
    """Twice as many drawn pictures would reach further: the figures must not depend on that."""
    truth = real(sample(points(0, 100)), sample(points(1, 100)))

    def recalls(count):
        drawn = (sample(points(10 + i, count, shift=0.5)) for i in range(8))
        return np.array([PrecisionRecall().measure(some, truth)["recall"].value for some in drawn])

    many, few = recalls(2000), recalls(100)
    assert abs(many.mean() - few.mean()) < 3 * np.hypot(many.std(), few.std()) / np.sqrt(8)


def test_manifolds_by_hand():
    """Five points on a line, one apart: the third-nearest neighbour of the middle is two away, of an end three."""
    line = np.arange(5.0)[:, None]
    inside = covered(np.array([[-3.0], [-3.1], [4.5], [7.0], [7.1]]), line)
    assert inside.tolist() == [True, False, True, True, False]


def test_accuracy():
    labels, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    truth = sample(labels=labels, predicted=labels)
    measured = Accuracy().measure(
        sample(labels=labels, predicted=predicted), real(truth, truth, classes=("a", "b", "c"))
    )
    assert {name: interval.value for name, interval in measured.items()} == {
        "accuracy": 0.75, "accuracy_real": 1.0, "accuracy/a": 0.5, "accuracy/b": 1.0,
    }  # fmt: skip
    unlabelled = sample(labels=labels)
    assert Accuracy().measure(unlabelled, real(truth, truth, classes=("a", "b"))) == {}


def test_memorisation_finds_copies():
    """Copies of training pictures are found out; pictures like the test ones are near copies one time in a hundred."""
    rng = torch.Generator().manual_seed(0)

    def pictures(count):
        return torch.randint(0, 256, (count, 1, 4, 4), generator=rng, dtype=torch.uint8)

    train, test = MemorySplit(pictures(400)), MemorySplit(pictures(500))
    truth = real(sample(pixels=test.x), sample(pixels=train.x), test, train)
    fresh = Memorisation().measure(sample(pixels=pictures(500)), truth)
    copied = Memorisation().measure(sample(pixels=train.x[:100]), truth)
    assert fresh["near_copies"].value < 0.04
    assert fresh["nearest"] == pytest.approx(fresh["nearest_real"], rel=0.05)
    assert copied["near_copies"].value == 1.0
    assert copied["nearest"] == 0.0


def test_nearest_distance_is_in_grey_levels():
    train = MemorySplit(torch.tensor([[[[0, 0]]], [[[200, 200]]]], dtype=torch.uint8))
    assert nearest(torch.tensor([[[[3, 3]]], [[[190, 200]]]], dtype=torch.uint8), train).tolist() == pytest.approx(
        [3.0, 50**0.5]
    )


def test_intervals():
    """Wilson's interval of 8 in 10 is known; edges stay within 0 and 1; a t interval of three numbers by hand."""
    eight = share(8, 10)
    assert (eight.value, round(eight.low, 4), round(eight.high, 4)) == (0.8, 0.4902, 0.9433)
    assert share(0, 5).low == 0 < share(0, 5).high < 1
    assert 0 < share(5, 5).low < share(5, 5).high <= 1
    three = around(2.0, np.array([1.0, 2.0, 3.0]))
    assert (three.low, three.high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
