"""Objectives: what is predicted can be read back, the truth is the best answer, first losses are known numbers."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from hybridgen.diffusion.denoising import SAFE_CLIP, Denoising
from hybridgen.diffusion.flow_matching import FlowMatching
from hybridgen.diffusion.path import COSINE
from hybridgen.nn.draws import Draws, keyed

OBJECTIVES = {
    "flow": FlowMatching(times="uniform"),
    **{
        f"flow {prediction} {curve}": FlowMatching(
            times="uniform", curve=curve, prediction=prediction, span=(0.01, 0.99)
        )
        for prediction in ("velocity", "eps", "score")
        for curve in ("line", "circle", "vp")
    },
    "flow toward data": FlowMatching(times="uniform", curve="circle", time_input="data", unread=True),
    **{
        f"{prediction} {schedule}": Denoising(
            schedule=schedule, prediction=prediction, learned_variance=False, clip=0.0
        )
        for prediction in ("eps", "v", "x0")
        for schedule in ("cosine", "linear")
    },
}
LEARNED = {prediction: Denoising(prediction=prediction, clip=0.0) for prediction in ("eps", "v", "x0")}
MEAN_ONLY = {
    prediction: Denoising(prediction=prediction, learned_variance=False) for prediction in ("eps", "x0")
}  # fmt: skip


def normal(name, *shape):
    return torch.randn(*shape, generator=keyed(name), dtype=torch.float64)


def answer(objective, clean, noise, t):
    """The prediction that says (clean, noise)."""
    alpha, sigma = objective.path.alpha(t)[..., None], objective.path.sigma(t)[..., None]
    if isinstance(objective, FlowMatching):
        velocity = objective.path.velocity(clean, noise, t[..., None])
        said = {"velocity": velocity, "eps": noise, "score": -noise / sigma}[objective.prediction]
        return torch.cat([-said, said], -1) if objective.unread else said
    return {"eps": noise, "v": alpha * noise - sigma * clean, "x0": clean}[objective.prediction]


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_reading_undoes_predicting(objective):
    r, noise = normal("r", 50, 4, 3), normal("noise", 50, 4, 3)
    t = objective.draw_times(50, 4, Draws("t"), joint=False).double()
    x = objective.corrupt(r, t, noise)
    clean, read, fraction = objective.read(answer(objective, r, noise, t), x, t)
    assert fraction is None
    torch.testing.assert_close(clean, r, rtol=0, atol=1e-7)
    torch.testing.assert_close(read, noise, rtol=0, atol=1e-7)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_the_truth_costs_nothing_and_silence_its_variance(objective):
    """Predicting 0 costs E target^2: 1 for noise, v and r, all of unit variance; of a velocity that of its slopes."""
    r, noise = normal("r", 4000, 4, 3), normal("noise", 4000, 4, 3)
    t = objective.draw_times(4000, 4, Draws("t"), joint=False).double()
    assert objective.loss(answer(objective, r, noise, t), r, t, noise).max() < 1e-9
    first = objective.loss(torch.zeros_like(r), r, t, noise)
    assert first.shape == t.shape
    expected = 1.0
    if isinstance(objective, FlowMatching) and objective.prediction == "velocity":
        expected = sum(
            slope.expand_as(t).square().mean().item() for slope in objective.path.slopes(t)
        )  # on the line: 2
    assert first.mean().item() == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_the_optimum_is_the_conditional_mean(objective):
    """r from N(0, s^2): no scaled or shifted answer has a lower loss than the one from E[r | x_t]."""
    s, t = 0.6, torch.full((20000, 1), 0.4, dtype=torch.float64)
    r, noise = s * normal("r", 20000, 1, 1), normal("noise", 20000, 1, 1)
    alpha, sigma = objective.path.alpha(0.4), objective.path.sigma(0.4)
    x = objective.corrupt(r, t, noise)
    share = x / (alpha**2 * s**2 + sigma**2)
    best = answer(objective, s**2 * alpha * share, sigma * share, t)
    least = objective.loss(best, r, t, noise).mean()
    for change in (best + 0.1, best - 0.1, best + 0.1 * x, best - 0.1 * x):
        assert objective.loss(change, r, t, noise).mean() > least


@pytest.mark.parametrize("objective", LEARNED.values(), ids=LEARNED.keys())
@pytest.mark.parametrize("t", [0.002, 0.1, 0.5, 1.0])
def test_the_best_variance_is_that_of_unit_data(objective, t):
    """With r from N(0, 1) the bound is least where the fraction is 1 (beta), as the published table has it."""
    r, noise = normal("r", 4000, 1, 1), normal("noise", 4000, 1, 1)
    times = torch.full((4000, 1), t, dtype=torch.float64)
    alpha, sigma = objective.path.alpha(t), objective.path.sigma(t)
    x = objective.corrupt(r, times, noise)
    said = answer(objective, alpha * x, sigma * x, times)

    def bound(fraction):
        return objective.bound(torch.cat([said, torch.full_like(said, 2 * fraction - 1)], -1), r, times, noise).mean()

    assert objective.outputs(1) == 2
    values = [bound(f).item() for f in (-1.0, 0.5, 1.0, 1.5, 3.0)] if t < 1 else [bound(1.0).item()] * 3
    assert min(values) == values[2], values
    torch.testing.assert_close(
        objective.loss(torch.cat([said, said], -1), r, times, noise),
        (said - answer(objective, r, noise, times)).square().mean(-1).float()
        + objective.bound(torch.cat([said, said], -1).float(), r, times, noise).float(),
        check_dtype=False, rtol=1e-4, atol=1e-4,
    )  # fmt: skip


def test_the_lowest_level_is_a_likelihood():
    """At entry 0 with beta: the bits of r under a normal distribution about the clean value, deviation sqrt(beta_0)."""
    objective = LEARNED["x0"]
    r, noise = normal("r", 3, 1, 2), normal("noise", 3, 1, 2)
    t = torch.full((3, 1), 0.001, dtype=torch.float64)
    off = 0.01
    bits = objective.bound(torch.cat([r + off, torch.ones_like(r)], -1), r, t, noise)
    beta = 1 - COSINE.alpha_bar[0].item()
    expected = 0.5 * (math.log(2 * math.pi * beta) + off**2 / beta) / math.log(2)
    torch.testing.assert_close(bits, torch.full_like(bits, expected), rtol=1e-4, atol=1e-4)


def test_clip():
    """By default for eps on the cosine table alone; the noise goes with the clipped value."""
    x, t = torch.full((1, 1, 2), 3.0), torch.ones(1, 1)
    said = torch.zeros(1, 1, 2)
    clean, noise, _ = MEAN_ONLY["eps"].read(said, x, t)
    assert clean.unique().item() == SAFE_CLIP
    torch.testing.assert_close(COSINE.alpha(1.0) * clean + COSINE.sigma(1.0) * noise, x)
    assert copy.deepcopy(MEAN_ONLY["eps"]).read(said, x, t)[0].max().item() == SAFE_CLIP  # as in an average
    assert replace(MEAN_ONLY["eps"], clip=0.0).read(said, x, t)[0].min() > 1000
    assert replace(MEAN_ONLY["eps"], schedule="linear").read(said, x, t)[0].min() > SAFE_CLIP
    assert replace(MEAN_ONLY["x0"], clip=0.5).read(said + 9, x, t)[0].unique().item() == 0.5
    assert MEAN_ONLY["x0"].read(said + 9, x, t)[0].unique().item() == 9


def test_fraction():
    prediction = torch.tensor([[[0.2, -1.0]], [[0.2, 1.0]], [[0.2, 3.0]]])
    _, _, fraction = LEARNED["v"].read(prediction, torch.zeros(3, 1, 1), torch.full((3, 1), 0.5))
    assert fraction.flatten().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "objective",
    [FlowMatching(times="uniform"), FlowMatching(), Denoising(learned_variance=False), *LEARNED.values()],
    ids=repr,
)
def test_times(objective):
    apart = objective.draw_times(3000, 4, Draws("t"), joint=False)
    together = objective.draw_times(3000, 4, Draws("t"), joint=True)
    assert apart.shape == together.shape == (3000, 4)
    assert (apart >= 0).all()
    assert (apart <= 1).all()
    assert apart.mean().item() == pytest.approx(0.5, abs=0.02)
    assert (together == together[:, :1]).all()
    assert (apart != apart[:, :1]).any()
    if isinstance(objective, Denoising):
        entries = (1000 * apart.double()).round()
        assert torch.equal((entries / 1000).float(), apart)
        assert (entries.min(), entries.max()) == (1, 1000)


def test_logit_normal_times_are_central():
    uniform, central = (
        FlowMatching(times=k).draw_times(5000, 1, Draws("t"), False) for k in ("uniform", "logit_normal")
    )
    assert uniform.std().item() == pytest.approx(1 / math.sqrt(12), abs=0.01)
    assert central.std().item() == pytest.approx(0.2083, abs=0.01)  # of the logistic function of a normal number
