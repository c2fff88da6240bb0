"""SiT: the network, its losses on three paths, and whole draws by differential equations with and without noise.

Their time runs from noise to data; t here is 1 minus theirs.
"""

import copy
from dataclasses import replace

import pytest
import torch
from grids import GRID, asked, drawn, halves, hidden, noises
from reference import Case
from replaying import imported

from hybridgen.diffusion.curves import CIRCLE, VARIANCE_PRESERVING
from hybridgen.diffusion.path import LINEAR
from hybridgen.diffusion.sde import SDE
from hybridgen.diffusion.solvers import Euler, Heun
from hybridgen.nn.positions import to_grid, to_sequence

CURVES = {"Linear": LINEAR, "GVP": CIRCLE, "VP": VARIANCE_PRESERVING}
NAMES = {"Linear": "line", "GVP": "circle", "VP": "vp"}  # of the same
PREDICTIONS = {"velocity": "velocity", "noise": "eps", "score": "score"}
LOSSES = [(c, "velocity", "none") for c in CURVES] + [
    (c, p, w) for c in CURVES for p in ("noise", "score") for w in ("none", "velocity", "likelihood")
]
ODES = {  # their points are one more than the steps between
    ("Linear", "velocity", "euler9"): (Euler(along="path"), 8),
    ("GVP", "velocity", "euler6"): (Euler(along="path"), 5),
    ("Linear", "velocity", "heun26"): (Heun(along="path"), 5),
    ("VP", "noise", "euler6"): (Euler(along="path", stop=1e-3), 5),
}
SDES = {
    ("Linear", "velocity", "Euler10.sigma.Mean"): (SDE(rate="sigma", last="mean"), 10),
    ("GVP", "velocity", "Heun8.decreasing.Euler"): (
        SDE(method="heun", rate="decreasing", last="flow", along="path"), 8,
    ),
    ("Linear", "velocity", "Euler6.linear.Tweedie"): (SDE(rate="linear", last="clean"), 6),
    ("Linear", "score", "Euler8.SBDM.None"): (SDE(rate="forward", last="none", start=0.999, stop=0.001), 7),
}  # fmt: skip


@pytest.fixture(scope="module")
def case():
    return Case("sit")


@pytest.fixture(scope="module")
def model(case):
    return imported(case)


def variant(model, curve, prediction, weight="none"):
    """The same network, taken to predict something else on another path."""
    other, head = copy.copy(model), copy.copy(model.residual_head)
    other._modules = {**model._modules, "residual_head": head}
    head.objective = replace(head.objective, curve=NAMES[curve], prediction=PREDICTIONS[prediction], weight=weight)
    return other


def test_forward(case, model):
    x, t, y = case.ins["x"], 1 - case.ins["t"], case.ins["y"]
    case.check("forward", asked(model, x, t, hidden(model, y))[:, :4])
    both = asked(model, x.repeat(2, 1, 1, 1), t.repeat(2), hidden(model, torch.cat([y, torch.full((2,), 10)])))
    case.check("forward_with_cfg4", to_grid(halves(to_sequence(both), 4.0), GRID)[:, :4])


def times(case, curve, prediction):
    """Of the training rows: away from where their network is infinite."""
    margins = (0.0, 1e-5) if curve == "VP" else (0.0, 0.0) if prediction == "velocity" else (1e-3, 1e-3)
    theirs = case.ins["loss.u"] * (1 - sum(margins)) + margins[0]
    return (1 - theirs)[:, None].expand(-1, 64)


@pytest.mark.parametrize("curve", CURVES)
def test_path(case, curve):
    """x_t and its velocity; they go toward the data."""
    clean, noise = to_sequence(case.ins["loss.x1"]), to_sequence(case.ins["loss.x0"])
    path, t = CURVES[curve], (1 - case.ins["loss.u"])[:, None, None].expand(-1, 64, 1)
    case.check(f"plan.{curve}.xt", to_grid(path.mix(clean, noise, t), GRID))
    case.check(f"plan.{curve}.ut", to_grid(-path.velocity(clean, noise, t), GRID))


def loss_of(case, model, curve, prediction, weight):
    """Of each training row."""
    head, told = variant(model, curve, prediction, weight).residual_head, hidden(model, case.ins["loss.y"])
    clean, noise = to_sequence(case.ins["loss.x1"]), to_sequence(case.ins["loss.x0"])
    with torch.no_grad():
        return head.loss_at(clean, told, GRID, times(case, curve, prediction), noise).mean(1)


@pytest.mark.parametrize(("curve", "prediction", "weight"), LOSSES)
def test_loss(case, model, curve, prediction, weight):
    case.check(f"loss.{curve}.{prediction}.{weight}", loss_of(case, model, curve, prediction, weight))


@pytest.mark.parametrize(("curve", "prediction", "how"), ODES)
def test_flow(case, model, curve, prediction, how):
    (solver, steps), record, key = ODES[curve, prediction, how], [], f"ode.{curve}.{prediction}.{how}"
    final = drawn(case, variant(model, curve, prediction), solver, steps, record)
    calls = solver.evaluations(CURVES[curve], steps) // steps
    case.check(f"{key}.step1", to_grid(record[calls][0], GRID))
    case.check(f"{key}.final_all_2B", final)


@pytest.mark.parametrize(("curve", "prediction", "how"), SDES)
def test_stochastic(case, model, curve, prediction, how):
    (solver, steps), record, key = SDES[curve, prediction, how], [], f"sde.{curve}.{prediction}.{how}"
    told = variant(model, curve, prediction)
    final = drawn(case, told, solver, steps, record)
    case.check(f"{key}.final_all_2B", final)
    case.check(f"{key}.before_last", final if solver.last == "none" else to_grid(record[-1][0], GRID))
    first = replace(solver, last="none", stop=solver.times(CURVES[curve], steps)[1])
    case.check(f"{key}.step1", drawn(case, told, first, 1, []))
    assert noises(case, solver, steps).shape[1] == 1 + solver.draws(steps)


def test_every_output_was_compared(case):
    assert case.finish() == len(case.outs)
