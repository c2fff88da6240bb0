"""Specifications of figures: families, titles, order; what metrics declare, share and may be called."""

import json
from dataclasses import replace

import pytest
import torch

from hybridgen.config.registry import Registry
from hybridgen.data.embedded import Embedded
from hybridgen.evaluation.evaluate import Evaluator
from hybridgen.evaluation.figure_spec import (
    FigureSpec,
    find_spec,
    full_title,
    in_order,
    quoted_title,
    without_residual,
)
from hybridgen.evaluation.metrics import declared_figures, find_metrics
from hybridgen.evaluation.protocol import Figure, figure
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserErrors

SAID = dict.fromkeys(("data", "model", "weights", "sampler", "seeds", "precision", "device"), "x")
ACCURACY = FigureSpec("accuracy", "accuracy by the judge", format=".3f", better="high")
REAL = FigureSpec("accuracy_real", "of real samples", under="accuracy", real=True)
CLASSES = FigureSpec("accuracy/*", "*", under="accuracy", chief=False)
SPECS = {spec.name: spec for spec in (ACCURACY, REAL, CLASSES, without_residual(ACCURACY), without_residual(REAL))}
OWN = """
from hybridgen.evaluation.base import Extractor, Features, Metric
from hybridgen.evaluation.figure_spec import FigureSpec

SEEN = []

class Means(Extractor):
    facts = {"net": "means", "hash": "1", "dim": 1}
    def __call__(self, stored):
        SEEN.append(len(stored))
        return stored.double().flatten(1).mean(1, keepdim=True).numpy(), None

class Mean(Features):
    label, media = "mean", MEDIA
    def extractor(self, data, settings, device):
        return Means()

class NAME(Metric):
    figures = (FigureSpec("FIGURE", "TITLE"),)
    def __init__(self, *, features: Features = Mean()):
        self.features = features
    def measure(self, drawn, real):
        return {"FIGURE": float(drawn.features.mean() - real.reference.features.mean()), "other": 1.0}
"""


@pytest.fixture
def own(tmp_path):
    """A registry with cards of a metric of one's own, over features of one's own, in one file."""

    def write(figures=("brightness",), title="brightness", media="()"):
        (tmp_path / "metric").mkdir()
        classes = []
        for i, name in enumerate(figures):
            text = OWN if not i else OWN[OWN.index("class NAME") :]
            text = text.replace("NAME", f"Own{i}").replace("FIGURE", name).replace("TITLE", title)
            classes.append(text.replace("MEDIA", media))
            (tmp_path / f"metric/own{i}.yaml").write_text(f"target: ../own.py:Own{i}\n")
        (tmp_path / "own.py").write_text("\n".join(classes))
        return Registry([tmp_path])

    return write


def test_a_family_is_filled_in():
    assert find_spec("accuracy/Bag", SPECS.values()).title == "Bag"
    assert find_spec("accuracy/Bag", SPECS.values()).name == "accuracy/Bag"
    assert find_spec("accuracy_floor", SPECS.values()) is None


def test_titles():
    bag = SPECS | {"accuracy/Bag": find_spec("accuracy/Bag", SPECS.values())}
    assert full_title("accuracy/Bag", bag) == "accuracy by the judge, Bag"
    assert full_title("accuracy_discrete", bag) == "accuracy by the judge, without the residual"
    assert full_title("unknown", bag) == "unknown"
    turning = {name: FigureSpec(name, name, under=other) for name, other in (("a", "b"), ("b", "a"))}
    assert full_title("a", turning) == "b, a", "a damaged summary does not hang"
    assert quoted_title(REAL, SPECS.values()) == "accuracy by the judge, real"


def test_order():
    """Below each chief figure those that belong to it; details of details only where they are chief."""
    specs = {spec.name: spec for spec in (REAL, FigureSpec("a", "a"), without_residual(ACCURACY), ACCURACY, CLASSES)}
    assert in_order(specs) == ["a", "accuracy", "accuracy_real", "accuracy_discrete"]


def test_values_and_units():
    assert FigureSpec("a", "a", unit="dB", format=".2f").text(3) == "3.00 dB"
    with pytest.raises(ValueError, match=r"format '\{\}'; needed"):
        FigureSpec("a", "a", format="{}")


def test_what_is_stored_reads_back_equal():
    stored = json.loads(json.dumps(figure(1.0, {"kind": "counted", "model": "x", "metric": "y"}, ACCURACY).to_json()))
    assert Figure.from_json(stored).spec == ACCURACY
    assert Figure.from_json({**stored, "spec": {**stored["spec"], "of_a_later_version": 1}}).spec == ACCURACY
    for damaged in (3, {"name": "a"}, {**stored["spec"], "format": ".999999999f"}, {**stored["spec"], "title": 3}):
        assert Figure.from_json({**stored, "spec": damaged}).spec is None


def test_only_figures_over_inception_are_called_fid():
    settings = Metrics(which=("frechet", "kid", "accuracy"), inception="weights.pt")
    found = {spec.name: spec.title for spec in declared_figures(find_metrics(settings, Registry())).values()}
    assert found["frechet"] == "Fréchet distance (judge)"
    assert (found["fid"], found["kid_inception"]) == ("FID", "KID")
    assert "fid" not in declared_figures(find_metrics(replace(settings, inception=None), Registry()))


@pytest.mark.parametrize(("figures", "title"), [(("fid",), "x"), (("fid_own",), "x"), (("x",), "FID of mine")])
def test_others_may_not_be_called_so(own, figures, title):
    with pytest.raises(UserErrors, match="only figures over Inception may be called FID"):
        find_metrics(Metrics(which=("own0",)), own(figures, title))


def test_other_features_have_other_names(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric/kid_random.yaml").write_text(
        "target: hybridgen.evaluation.kid.KernelDistance\noptions: {features: random}\n"
    )
    (tmp_path / "metric/wrong.yaml").write_text(
        "target: hybridgen.evaluation.kid.KernelDistance\noptions: {features: randm}\n"
    )
    found = declared_figures(find_metrics(Metrics(which=("kid", "kid_random")), Registry([tmp_path])))
    assert [(s.name, s.title) for s in found.values() if not s.under] == [
        ("kid", "kernel distance (judge)"),
        ("kid_random", "kernel distance (random)"),
    ]
    with pytest.raises(UserErrors, match=r"wrong.yaml:2: .*unknown card 'randm'\. Did you mean 'random'"):
        find_metrics(Metrics(which=("wrong",)), Registry([tmp_path]))


def test_two_metrics_do_not_measure_the_same_figure(own):
    with pytest.raises(UserErrors, match="accuracy and own0 both measure 'accuracy'; ask for one of them"):
        find_metrics(Metrics(which=("accuracy", "own0")), own(("accuracy",)))


def test_each_split_is_seen_once(own):
    """By two metrics of equal features, and with samples that are measured twice."""
    data, which = Embedded(), Metrics(which=("own0", "own1"), samples=30)
    evaluator = Evaluator(data, which, own(("brightness", "lightness")))
    x, labels = data.split("test").stored(torch.arange(30)), data.split("test").labels[:30]
    found = [evaluator.figures(some, labels, SAID) for some in (x, 255 - x)]
    seen = evaluator.metrics[0].metric.features.extractor.__globals__["SEEN"]
    assert sum(seen) == len(data.split("test")) + 30 + 2 * 30, "the reference, the control and both drawn sets"
    assert found[0]["brightness"].value == found[0]["lightness"].value
    assert found[0]["brightness"].spec.title == "brightness"
    assert found[0]["other"].spec == FigureSpec("other", "other", chief=False), "not declared: kept, not shown"


def test_a_metric_serves_its_media(own):
    (note,) = Evaluator(Embedded(), Metrics(which=("own0",)), own(media='("sound",)')).notes()
    assert note == "own0 is left out: it serves the medium sound, and these data are of the medium image"
