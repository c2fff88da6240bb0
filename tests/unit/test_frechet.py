"""The Fréchet distance: agreement with other code, its bias, and that it sees what people see."""

import warnings

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from hybridgen.data.base import MemorySplit
from hybridgen.data.embedded import Embedded
from hybridgen.evaluation.base import Real, Sample
from hybridgen.evaluation.features import JudgeFeatures
from hybridgen.evaluation.frechet import Frechet, bias, deviation, distance, extrapolated, moments
from hybridgen.evaluation.judge import find_judge
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError

F = 16


def features(seed, count=400, shift=0.0, width=F):
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) / np.sqrt(width)
    return rng.normal(size=(count, width)) @ mix + shift


def sample(seen):
    """A sample of features alone."""
    blank = torch.zeros(len(seen), 1, 2, 2, dtype=torch.uint8)
    return Sample(seen, torch.zeros(len(seen), dtype=torch.int64), stored=blank)


def real(reference, control):
    nothing = MemorySplit(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), label=torch.zeros(0, dtype=torch.int64))
    return Real(sample(reference), sample(control), nothing, nothing, ImageMedium(channels=1, size=2))


def test_agrees_with_clean_fid():
    from cleanfid import fid

    a, b = features(0), features(1, shift=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls sqrtm in a way that SciPy 1.18 will not take
        theirs = fid.frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert distance(moments(a), moments(b)) == pytest.approx(float(theirs), abs=1e-6)


def test_known_values():
    """Equal sets: nothing. Shifted by s in each of F features: F s². Scaled white features: F (a - b)²."""
    a = features(0)
    assert distance(moments(a), moments(a)) == pytest.approx(0, abs=1e-6)  # a root of rounding errors: 1e-16 ** 0.5
    assert distance(moments(a), moments(a + 0.5)) == pytest.approx(F * 0.25, abs=1e-6)
    white = np.linalg.qr(a - a.mean(0))[0] * np.sqrt(len(a) - 1)
    assert distance(moments(2 * white), moments(3 * white)) == pytest.approx(F, abs=1e-6)


def test_the_deviation_is_what_simulation_finds():
    """The jackknife's, averaged over some draws, against the spread over fresh draws of both sides."""
    pairs = [(features(2 * i, 300, shift=0.2), features(2 * i + 1, 300)) for i in range(80)]
    spread = np.std([distance(moments(a), moments(b)) for a, b in pairs], ddof=1)
    assert np.mean([deviation(a, b) for a, b in pairs[:15]]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize("spectrum", [np.ones(24), 1 / np.arange(1, 25)], ids=["white", "falling"])
def test_bias_is_what_simulation_finds(spectrum):
    """One side sampled 500 times; over 40 repetitions the mean is known to about 1 %, the formula to first order."""
    rng = np.random.default_rng(0)
    truth = moments(np.eye(24))
    truth = type(truth)(np.zeros(24), np.diag(spectrum), 1)
    found = [distance(moments(rng.normal(size=(500, 24)) * np.sqrt(spectrum)), truth) for _ in range(40)]
    assert np.mean(found) == pytest.approx(bias(truth.covariance, 500), rel=0.06)


def test_bias_of_white_features_in_closed_form():
    """B = (λ/n)(d + d(d+1)/4)."""
    assert bias(3 * np.eye(10), 200) == pytest.approx(3 / 200 * (10 + 110 / 4))


def test_extrapolation_removes_the_bias_of_few_pictures():
    rng = np.random.default_rng(1)
    target = type(moments(np.eye(8)))(np.zeros(8), np.eye(8), 1)
    few = rng.normal(size=(300, 8))
    assert abs(extrapolated(few, target)) < 0.5 * distance(moments(few), target)


def test_too_few_pictures_are_refused():
    few = features(0, F)
    with pytest.raises(UserError, match=r"needs more than 16 samples; drawn: 16(.|\n)*frechet_few"):
        Frechet().measure(sample(few), real(features(1), features(2)))
    assert Frechet(allow_few=True).measure(sample(few), real(features(1), features(2)))["frechet"].value > 0


def test_floor_and_interval():
    """Pictures from the same source score the floor; the interval brackets the value; all is repeatable."""
    truth = real(features(1, 2000), features(2, 2000))
    measured = Frechet().measure(sample(features(3, 2000)), truth)
    assert measured["frechet"].low < measured["frechet"].value < measured["frechet"].high
    assert measured["frechet"].value == pytest.approx(measured["frechet_floor"], rel=0.5)
    assert measured["frechet"].value == pytest.approx(measured["frechet_bias"], rel=0.5)
    assert Frechet().measure(sample(features(3, 2000)), truth) == measured
    shifted = Frechet().measure(sample(features(3, 2000, shift=0.5)), truth)
    assert shifted["frechet"].low > measured["frechet"].high


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion28", "emoji32"])
def test_the_judge_separates(name):
    """Noise and blur on real pictures raise the distance, more of it raises it more."""
    data = Embedded(name=name)
    extract = JudgeFeatures(find_judge(data))
    x = data.split("test" if name == "fashion28" else "train").x[:600]
    reference = moments(extract(data.split("train").x[-700:])[0])
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(x.shape, generator=rng)

    def noisy(std):
        return (x + std * noise).round().clamp(0, 255).byte()

    def blurred(width):
        return avg_pool2d(x.float(), width, 1, width // 2, count_include_pad=False).round().byte()

    for corrupted in ([x, noisy(8), noisy(24), noisy(60)], [x, blurred(3), blurred(5), blurred(7)]):
        found = [distance(moments(extract(pictures)[0]), reference) for pictures in corrupted]
        assert found == sorted(found)
        assert found[1] > 1.2 * found[0]
    one_class = data.split("train")
    assert distance(moments(extract(one_class.x[one_class.labels == 1])[0]), reference) > 5 * found[0]
