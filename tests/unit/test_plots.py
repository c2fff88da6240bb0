"""A study's drawings: which there are, that they follow the page, and where a trial lies on an axis."""

import re

import pytest
from dummy_study import SPACE, dummy, loss

from hybridgen.sweeps.queue.settings import SweepOptions
from hybridgen.sweeps.queue.space import Space
from hybridgen.sweeps.queue.study import Plan, Study
from hybridgen.sweeps.queue.work import work
from hybridgen.sweeps.results.parallel import Column, columns
from hybridgen.sweeps.results.plots import draw_plots, study_plots


def done(study, run, count=5):
    """The study with so many trials done."""
    study.open_tickets(count)
    work(study, run)
    return study


@pytest.fixture
def two(tmp_path):
    """A study of two objectives, the second of which is the same in all trials."""
    plan = Plan("two", SPACE, {"loss": "minimize", "accuracy": "maximize"}, SweepOptions(sampler="random"))
    return done(Study(plan, tmp_path), lambda number, params, report: {"loss": loss(params), "accuracy": 0.5})


def test_what_is_drawn_of_two_objectives(two):
    titles = [plot.title for plot in study_plots(two)]
    told = ["Front", "History of loss", "Importance for loss", "History of accuracy", "Parallel coordinates"]
    assert titles == told, "nothing explains a variation that is none"


def test_drawings_follow_the_page_and_are_files_too(two, tmp_path):
    drawn = draw_plots(two, tmp_path)
    for plot, svg in drawn.items():
        assert (tmp_path / f"{plot.name}.png").read_bytes().startswith(b"\x89PNG")
        assert "var(--line-1)" in svg
        assert "currentColor" in svg
        assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", svg), "a fixed colour is lost on one of two backgrounds"
    (front,) = [svg for plot, svg in drawn.items() if plot.name == "pareto"]
    assert "loss ↓" in front
    assert "accuracy ↑" in front


def test_one_objective_and_too_little_to_draw(tmp_path):
    study = done(dummy(tmp_path), lambda number, params, report: {"loss": loss(params)}, 1)
    assert study_plots(study) == []
    done(study, lambda number, params, report: {"loss": loss(params)}, 4)
    names = [plot.name for plot in study_plots(study)]
    assert names == ["history", "importances", "parallel"]


def test_a_single_parameter_has_no_importance(tmp_path):
    """It would explain everything, whatever it is."""
    plan = Plan("one", Space({"x": SPACE.dimensions["x"]}), {"loss": "minimize"}, SweepOptions(sampler="random"))
    study = done(Study(plan, tmp_path), lambda number, params, report: {"loss": params["x"]})
    assert [plot.name for plot in study_plots(study)] == ["history", "parallel"]


class Trial:
    """As much of a trial as an axis needs."""

    def __init__(self, number, **params):
        self.number, self.params, self.values = number, params, [float(number)]


def test_where_a_trial_lies_on_an_axis():
    steps, cards, same = (1, 10, 100), ("flow", "diffusion", "flow"), (7, 7, 7)
    trials = [Trial(i, steps=s, card=c, same=w) for i, (s, c, w) in enumerate(zip(steps, cards, same, strict=True))]
    by_steps, by_card, by_value = columns(trials, {"loss": "minimize"})  # what never varied has no axis
    assert by_steps.places == pytest.approx({0: 0, 1: 0.5, 2: 1}), "far apart: a logarithm"
    assert by_steps.ticks.keys() == {"1", "10", "100"}
    assert by_card == Column("card", {0: 0, 1: 1, 2: 0}, {"flow": 0, "diffusion": 1})
    assert by_value == Column("loss ↓", {0: 0, 1: 0.5, 2: 1}, {"0": 0, "1": 0.5, "2": 1})
