"""Each option that heads and solvers have for a published system is felt: at another value some comparison fails."""

from dataclasses import replace

import pytest
import test_dit
import test_sit
import test_token_head
from reference import Case, reference_folder
from replaying import imported
from token_heads import check_draw, check_network, check_rows, check_step

from hybridgen.diffusion.sde import SDE
from hybridgen.diffusion.solvers import DDIM, DDPM, Euler
from hybridgen.system.errors import UserError

HEAD = "model.residual_head"
STEP = {"hart_t2i": 1.0, "mar": None}  # the clip of each


@pytest.fixture(autouse=True)
def whole():
    """A golden leaves out what some options change."""
    reference_folder()


def rows_of(case, head):
    target, told = 0.6 * case.outs["train.head_target_div_0.6"], case.outs["train.head_z"]
    check_rows(case, head, *(x.repeat(4, 1)[:, None] for x in (target, told)))


def draw_of(case, head, guidance=3.5):
    check_draw(case, head, "head.sample.cfg2.5", 8, guidance)


@pytest.mark.parametrize(
    ("name", "override", "check"),
    [
        ("hart_t2i", "objective.clip=0.0", draw_of),
        ("hart_t2i", "objective.clip=2.0", lambda case, head: check_step(case, head, 500, 1.0, 1.0)),
        ("mar", "objective.clip=1.0", lambda case, head: check_step(case, head, 500, 1.0, None)),
        ("hart_t2i", "normalise=none", draw_of),
        ("hart_t2i", "constant=0.5", draw_of),
        ("hart_t2i", "objective.likelihood=density", rows_of),
        ("hart_t2i", "objective.prediction=v", rows_of),
        ("hart_t2i", "objective.schedule=linear", rows_of),
        ("hart_t2i", "objective.learned_variance=false", RuntimeError),
        ("hart_t2i", "inner=2.0", RuntimeError),
    ],
)
def test_options_of_the_token_head(name, override, check):
    case = Case(name)
    if check is RuntimeError:  # the weights do not fit
        with pytest.raises(RuntimeError, match="size mismatch"):
            test_token_head.built(case, override)
        return
    head = test_token_head.built(case, override)
    with pytest.raises(AssertionError):
        check(case, head)


@pytest.mark.parametrize(
    "check",
    [
        lambda case, head: draw_of(case, head, guidance=2.5),
        lambda case, head: check_network(case, head, 500, 3.0),
        lambda case, head: check_step(case, head, 500, 1.0, 1.0, DDPM(variance="large")),
        lambda case, head: check_step(case, head, 500, 1.0, 1.0, DDPM(variance="small")),
        lambda case, head: check_step(case, head, 500, 1.0, 1.0, DDIM()),
        lambda case, head: check_draw(case, head, "head.sample.cfg1_unguided", 8, 1.0),
    ],
    ids=[
        "guidance of a draw",
        "guidance of a call",
        "large variance",
        "small variance",
        "no noise",
        "one noise for both",
    ],
)
def test_settings_of_a_draw_per_token(check):
    case = Case("hart_t2i")
    with pytest.raises(AssertionError):
        check(case, test_token_head.built(case))


def test_temperature():
    """A whole unclipped draw would hardly feel it."""
    case = Case("mar")
    head = test_token_head.built(case)

    def hot(predict, path, noise, steps, temperature):
        return DDPM().solve(predict, path, noise, steps, 1.0)

    solver = type("Hot", (), {"solve": staticmethod(hot)})()
    with pytest.raises(AssertionError):
        check_step(case, head, 500, 0.95, None, solver)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "check"),
    [
        ("guided_channels=0", lambda case, model: test_dit.test_draw(case, model, "ddpm_4")),
        ("objective.schedule=cosine", test_dit.test_loss),
        ("objective.prediction=v", test_dit.test_loss),
        ("objective.clip=1.0", test_dit.test_one_reverse_step),
        ("objective.likelihood=density", test_dit.test_loss),
        ("normalise=constant", test_dit.test_loss),
        ("heads=2", test_dit.test_forward),
        ("layout.patch=1", UserError),
        ("layout.places=computed", UserError),
        ("layout.condition_input=embedded", UserError),
        ("objective.learned_variance=false", UserError),
    ],
)
def test_options_of_the_grid_diffusion(override, check):
    case = Case("dit")
    if check is UserError:  # the weights do not fit
        with pytest.raises(UserError):
            imported(case, overrides=[f"{HEAD}.{override}"])
        return
    model = imported(case, overrides=[f"{HEAD}.{override}"])
    with pytest.raises(AssertionError):
        check(case, model)


@pytest.mark.parametrize(
    ("name", "solver", "steps"),
    [
        ("ddpm_5,3", DDPM(), 8),
        ("ddpm_5,3", DDPM(sections=(4, 4)), 8),
        ("ddpm_4", DDPM(variance="large"), 4),
        ("ddim_ddim10", DDIM(), 10),
        ("ddim_ddim10", DDIM(spacing="stride", eta=1.0), 10),
    ],
)
def test_solvers_on_a_table(monkeypatch, name, solver, steps):
    case = Case("dit")
    monkeypatch.setitem(test_dit.DRAWS, name, (solver, steps))
    with pytest.raises(AssertionError):
        test_dit.test_draw(case, imported(case), name)


def flow_loss(curve, prediction, weight):
    """The loss of (curve, prediction, weight) compared with what the case keeps of "Linear noise none"."""

    def check(case, model):
        loss = test_sit.loss_of(case, model, curve, prediction, weight)
        case.check("loss.Linear.noise.none", loss)

    return check


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "check"),
    [
        ("objective.time_input=entry", test_sit.test_forward),
        ("heads=2", test_sit.test_forward),
        ("guided_channels=0", lambda case, model: test_sit.test_flow(case, model, "Linear", "velocity", "heun26")),
        ("normalise=constant", lambda case, model: test_sit.test_loss(case, model, "Linear", "velocity", "none")),
        ("objective.time_input=data", flow_loss("GVP", "noise", "none")),
        ("objective.time_input=data", flow_loss("Linear", "score", "none")),
        ("objective.time_input=data", flow_loss("Linear", "velocity", "none")),
        ("objective.time_input=data", flow_loss("Linear", "noise", "velocity")),
        ("objective.time_input=data", flow_loss("Linear", "noise", "likelihood")),
        ("objective.unread=false", UserError),
    ],
)
def test_options_of_the_grid_flow(override, check):
    case = Case("sit")
    if check is UserError:
        with pytest.raises(UserError):
            imported(case, overrides=[f"{HEAD}.{override}"])
        return
    model = imported(case, overrides=[f"{HEAD}.{override}"])
    with pytest.raises(AssertionError):
        check(case, model)


@pytest.fixture(scope="module")
def sit():
    case = Case("sit")
    return case, imported(case)


FLOWS = [
    (("GVP", "velocity", "euler6"), {"along": "line"}),
    (("VP", "noise", "euler6"), {"stop": 0.01}),
    (("Linear", "velocity", "euler9"), {"start": 0.99}),
]
STOCHASTIC = [
    (("Linear", "velocity", "Euler10.sigma.Mean"), {"rate": "linear", "norm": 0.9}),
    (("Linear", "velocity", "Euler10.sigma.Mean"), {"last": "flow"}),
    (("Linear", "velocity", "Euler10.sigma.Mean"), {"last": "clean"}),
    (("Linear", "velocity", "Euler10.sigma.Mean"), {"last_size": 0.05}),
    (("Linear", "velocity", "Euler10.sigma.Mean"), {"method": "heun"}),
    (("Linear", "velocity", "Euler6.linear.Tweedie"), {"rate": "bump"}),
    (("Linear", "velocity", "Euler6.linear.Tweedie"), {"rate": "constant"}),
    (("GVP", "velocity", "Heun8.decreasing.Euler"), {"rate": "sigma"}),
    (("GVP", "velocity", "Heun8.decreasing.Euler"), {"along": "line"}),
    (("GVP", "velocity", "Heun8.decreasing.Euler"), {"norm": 0.9}),
    (("Linear", "score", "Euler8.SBDM.None"), {"start": 0.99}),
    (("Linear", "score", "Euler8.SBDM.None"), {"stop": 0.01}),
    (("Linear", "score", "Euler8.SBDM.None"), {"rate": "linear"}),
]


@pytest.mark.parametrize(("run", "change"), [*FLOWS, *STOCHASTIC], ids=str)
def test_solvers_on_a_curve(monkeypatch, sit, run, change):
    runs, check = (test_sit.ODES, test_sit.test_flow) if len(run[2]) < 8 else (test_sit.SDES, test_sit.test_stochastic)
    solver, steps = runs[run]
    assert isinstance(solver, Euler | SDE)
    monkeypatch.setitem(runs, run, (replace(solver, **change), steps))
    with pytest.raises(AssertionError):
        check(*sit, *run)


def test_heun_is_not_euler(monkeypatch, sit):
    run = ("Linear", "velocity", "heun26")
    monkeypatch.setitem(test_sit.ODES, run, (Euler(), 5))
    with pytest.raises(AssertionError):
        test_sit.test_flow(*sit, *run)
