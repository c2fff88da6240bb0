"""Variants are resized to the base's budget within 2 %, or refused by name."""

import math
import random
from argparse import Namespace
from functools import cache

import pytest
import torch
from tiny_run import TINY

from hybridgen.cli.ablate import _as_a_worker
from hybridgen.sweeps.queue.launch import shares
from hybridgen.sweeps.request import match as matching
from hybridgen.sweeps.request.block import Experiment
from hybridgen.sweeps.request.match import _nearest, budget, match
from hybridgen.sweeps.request.paired_timing import FEWEST, LONG, TURNS, Pace, pace
from hybridgen.system.errors import UserError

TINY_ONE = Experiment(str(TINY))
KEYS = ("model.residual_head.mlp_width", "model.backbone.width", "model.backbone.mlp_ratio")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["params", "macs"])
def test_codes_alone_at_equal_budget(kind):
    """Without a head the backbone grows, until it costs what both cost before."""
    variant = ["model.residual_head=null", "sampler.head_steps=0"]
    found = match(TINY_ONE, [], variant, KEYS, kind)
    assert abs(found.ratio - 1) <= 0.02
    assert any(text.startswith("model.backbone.width=") for text in found.overrides)
    assert not any("residual_head" in text for text in found.overrides)
    base = budget(TINY_ONE.compose(), kind)
    assert budget(TINY_ONE.compose([*variant, *found.overrides]), kind) / base == pytest.approx(found.ratio)
    assert budget(TINY_ONE.compose(variant), kind) / base < 0.9, "there was something to do"


def test_what_fits_is_left_alone():
    assert match(TINY_ONE, [], ["seed=1"], KEYS, "params").overrides == ()


@pytest.mark.slow
def test_what_cannot_be_matched_is_said():
    with pytest.raises(UserError, match=r"--match params: .*mlp_width=64.* of the base's budget at best") as caught:
        match(TINY_ONE, [], ["model.residual_head.mlp_width=64"], ("model.residual_head.depth",), "params")
    assert "ablate.resize" in str(caught.value)


@pytest.mark.parametrize(("size", "goal", "step"), [(16, 100, 4), (1, 1, 1), (500, 37, 1), (2.0, 3.3, 1 / 64)])
def test_the_nearest_size_is_found(size, goal, step):
    """Costs that grow with a size: the multiple of the step next to the goal."""
    asked = []

    def ratio(value):
        asked.append(value)
        return value / goal

    value, found = _nearest(ratio, size, step)
    assert abs(value - goal) <= step / 2 + 1e-9
    assert found == pytest.approx(value / goal)
    assert len(asked) < 25


class Busy:
    """A machine that slows down and recovers, jitters by 5 %, and interrupts one call in twelve for as long again."""

    def __init__(self, seed, jitter=0.05):
        self.rng, self.calls, self.jitter = random.Random(seed), 0, jitter

    def stopwatch(self, cost):
        def timed():
            self.calls += 1
            slow = 1 + 0.4 * math.sin(self.calls / 15)
            interrupted = 2.0 if self.rng.random() < 1 / 12 else 1.0
            return cost * slow * interrupted * math.exp(self.rng.gauss(0, self.jitter))

        return timed


@pytest.mark.parametrize("seed", range(10))
def test_pace_through_noise(seed):
    """The ratio is told to 2 % where it matters, and in the fewest rounds where it does not."""
    for true in (0.985, 1.0, 1.01):
        machine = Busy(seed)
        found = pace(machine.stopwatch(0.2 * true), machine.stopwatch(0.2), 0.02)
        assert found.ratio == pytest.approx(true, abs=0.02)
        assert found.low <= true <= found.high
    machine = Busy(seed)
    assert pace(machine.stopwatch(0.4), machine.stopwatch(0.2), 0.02).ratio == pytest.approx(2, rel=0.1)
    assert machine.calls == 2 + 2 * TURNS * FEWEST, "warmed up, then no more than it takes"


@pytest.mark.parametrize("seed", range(5))
def test_what_slows_one_of_them_down_more_is_not_its_pace(seed):
    """For minutes two calls in three are disturbed, the larger thing more than the smaller: the quickest steps tell."""
    rng = random.Random(seed)

    def timed(cost, disturbed):
        return lambda: cost * math.exp(rng.gauss(0, 0.005)) * (disturbed if rng.random() < 2 / 3 else 1.0)

    found = pace(timed(0.2, 1.12), timed(0.2, 1.04), 0.02)
    assert found.ratio == pytest.approx(1.0, abs=0.02)


@cache
def composed(overrides, compose=Experiment.compose):
    """Composing is most of what these tests take."""
    return compose(TINY_ONE, overrides)


def _cost(composed):
    """Made-up seconds of the tiny experiment: what does not depend on sizes, and what does."""
    head, backbone = composed.config["model"]["residual_head"], composed.config["model"]["backbone"]
    grown = (0.0 if head is None else 0.02 * head["mlp_width"]) + 0.03 * backbone["width"] * backbone["mlp_ratio"]
    return 0.02 * (1.0 + grown)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_seconds_agree_within_2_percent_though_the_machine_is_busy(monkeypatch, seed):
    """By their true costs, not only by what was measured."""
    machine = Busy(seed)
    monkeypatch.setattr(Experiment, "compose", lambda self, more=(): composed(tuple(more)))
    monkeypatch.setattr(matching, "stopwatch", lambda composed: machine.stopwatch(_cost(composed)))
    base = _cost(TINY_ONE.compose())
    for variant in (
        ["model.residual_head=null", "sampler.head_steps=0"],
        ["model.residual_head.mlp_width=64"],
        ["model.backbone.width=32"],
    ):
        assert abs(_cost(TINY_ONE.compose(variant)) / base - 1) > 0.05, "there was something to do"
        found = match(TINY_ONE, [], variant, KEYS, "seconds")
        true = _cost(TINY_ONE.compose([*variant, *found.overrides])) / base
        assert abs(found.ratio - 1) <= 0.02
        assert abs(true - 1) <= 0.02, (variant, found, true)


def test_timings_that_tell_nothing_are_said(monkeypatch):
    machine = Busy(0, jitter=1.0)
    monkeypatch.setattr(matching, "stopwatch", lambda composed: machine.stopwatch(1.0))
    with pytest.raises(UserError, match="timings vary too much here"):
        match(TINY_ONE, [], ["seed=1"], KEYS, "seconds")
    assert machine.calls <= 3 * LONG, "it gives up in time"


def test_a_match_is_timed_anew(monkeypatch):
    """What was found is not believed: one that does not hold is refused with both figures; else the later counts."""
    found = iter([Pace(1.0, 0.99, 1.01), Pace(1.03, 1.01, 1.05), Pace(0.992, 0.98, 1.0), Pace(1.01, 1.0, 1.02)])
    monkeypatch.setattr(matching, "pace", lambda *_: next(found))
    monkeypatch.setattr(matching, "stopwatch", lambda composed: lambda: 1.0)
    with pytest.raises(UserError, match=r"seconds: as it is came to 100\.0% of the base's, then to 103\.0%"):
        match(TINY_ONE, [], ["seed=1"], KEYS, "seconds")
    assert match(TINY_ONE, [], ["seed=1"], KEYS, "seconds").ratio == 1.01


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_seconds_are_timed_on_a_workers_threads(monkeypatch, workers):
    """As many as the environment that a worker is started with says; afterwards it is as before."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before, theirs = torch.get_num_threads(), int(shares(0, workers)["OMP_NUM_THREADS"])
    with _as_a_worker(Namespace(launcher="local", workers=workers)):
        assert torch.get_num_threads() == theirs
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("launcher", "variable"), [("submitit", None), ("local", "7")])
def test_threads_that_are_told_are_left_alone(monkeypatch, launcher, variable):
    """By the cluster of a job, or by OMP_NUM_THREADS."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    before = torch.get_num_threads()
    with _as_a_worker(Namespace(launcher=launcher, workers=64)):
        assert torch.get_num_threads() == before
