"""Curved paths: ends, slopes, what is read off a velocity; and solvers that go along the path itself."""

import pytest
import torch

from hybridgen.diffusion.curves import CIRCLE, VARIANCE_PRESERVING, named
from hybridgen.diffusion.dopri5 import Dopri5
from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS, forward_rate
from hybridgen.diffusion.sde import SDE
from hybridgen.diffusion.solvers import DDIM, DDPM, Euler, Heun
from hybridgen.diffusion.spacing import Spacing
from hybridgen.laws.solvers import gaussian, output_deviation
from hybridgen.nn.draws import keyed
from hybridgen.system.errors import UserError

CURVES = {"line": LINEAR, "circle": CIRCLE, "vp": VARIANCE_PRESERVING}
every_curve = pytest.mark.parametrize("path", CURVES.values(), ids=CURVES.keys())


@every_curve
def test_ends_and_slopes(path):
    assert (path.alpha(0.0), path.sigma(0.0)) == (1, 0)
    assert path.alpha(1.0) < 0.01 < 0.99 < path.sigma(1.0)
    assert [name for name in CURVES if named(name) is path] == [name for name in CURVES if CURVES[name] is path]
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    for share, slope in zip((path.alpha, path.sigma), path.slopes(t), strict=True):
        (expected,) = torch.autograd.grad(share(t).sum(), t)
        torch.testing.assert_close(slope.detach().expand_as(t), expected)
    assert path.alpha(0.3) == pytest.approx(path.alpha(torch.tensor([0.3], dtype=torch.float64)).item())


@every_curve
def test_splitting_undoes_mixing(path):
    clean, noise = (torch.randn(4, 3, generator=keyed(k), dtype=torch.float64) for k in ("clean", "noise"))
    t = torch.tensor([0.2, 0.5, 0.9, 1.0], dtype=torch.float64)[:, None]
    found = path.split(path.mix(clean, noise, t), path.velocity(clean, noise, t), t)
    torch.testing.assert_close(found, (clean, noise))


@pytest.mark.parametrize("path", [*CURVES.values(), COSINE, LINEAR_BETAS])
def test_time_of_undoes_the_ratio(path):
    t = torch.tensor([1, 2, 333, 500, 999, 1000], dtype=torch.float64) / 1000
    torch.testing.assert_close(path.time_of(path.sigma(t) / (path.alpha(t) + path.sigma(t))), t)


def test_forward_rate():
    """t / (1 - t) on the line; beta / 2 of a variance-preserving path."""
    assert forward_rate(LINEAR, 0.75) == pytest.approx(3)
    assert forward_rate(VARIANCE_PRESERVING, 0.5) == pytest.approx((0.1 + 0.5 * 19.9) / 2)
    with pytest.raises(UserError, match="set start below 1"):
        SDE(rate="forward").solve(gaussian(CIRCLE, 0.5), CIRCLE, torch.ones(1, 2, 1, 1), 2)


RATES = ("sigma", "linear", "decreasing", "bump", "constant", "forward")


@every_curve
@pytest.mark.parametrize("along", ["line", "path"])
@pytest.mark.parametrize(
    "options", [*({"rate": r} for r in RATES), {"method": "heun"}, {"last": "flow"}, {"last": "mean"}], ids=str
)
def test_every_rate_has_the_same_marginals(path, along, options):
    """What fresh noise adds the drift takes away: the deviation of a Gaussian comes out, whatever w is.

    To 6 %: of 100 steps and the last one; with "forward" from 0.999 on, where it is finite.
    """
    solver = SDE(**options, along=along, last_size=0.005, start=0.999 if options.get("rate") == "forward" else 1.0)
    assert output_deviation(solver, path, 100, 0.5) == pytest.approx(0.5, rel=0.06)


@every_curve
@pytest.mark.parametrize("solver", [Euler(along="path", stop=0.001), Heun(along="path", stop=0.001)], ids=repr)
def test_along_the_path(solver, path):
    """Both charts lead to the same deviation, off by what the order says; and on the line they are one."""
    other = type(solver)(stop=0.001)
    few, many = (
        [output_deviation(s, path, n, 0.5) for s in (solver, other)] for n in (8, 200)
    )  # fmt: skip
    assert many == pytest.approx([0.5, 0.5], rel=0.03)
    assert (few[0] == pytest.approx(few[1], rel=1e-9)) is (path is LINEAR)


@pytest.mark.parametrize("path", [*CURVES.values(), COSINE, LINEAR_BETAS])
def test_adaptive_steps_meet_their_tolerance(path):
    """Of the probability flow of a Gaussian: the exact deviation, on a table to its levels, onto 0 to a last step."""
    exact = 0.5 / (path.alpha(1.0) ** 2 * 0.25 + path.sigma(1.0) ** 2) ** 0.5
    for rtol, off in ((1e-3, 5e-3), (1e-6, 1e-5)):
        allowed = off if path.reaches_zero else max(off, 5e-4 if path is VARIANCE_PRESERVING else 5e-3)
        drawn = output_deviation(Dopri5(rtol=rtol, atol=1e-9), path, 1, 0.5)
        assert drawn == pytest.approx(exact, rel=allowed), rtol


def test_adaptive_rows_go_at_their_own_pace():
    """A hard row does not slow an easy one down: each is asked at its own times."""
    asked = []

    def predict(x, t):
        asked.append(t[:, 0].tolist())
        clean = torch.stack([x[0] * 0, torch.sin(9 * x[1])])
        return clean, (x - LINEAR.alpha(t)[..., None] * clean) / t.clamp(min=1e-3)[..., None], None

    noise = torch.randn(2, 1, 4, 3, generator=keyed("pace"))
    drawn = Dopri5().solve(predict, LINEAR, noise, 1)
    assert asked[-1][0] == 0 < max(asked[-7:][0][1], asked[-20][1])
    assert drawn.isfinite().all()


def test_too_strict_a_tolerance_is_said(monkeypatch):
    monkeypatch.setattr("hybridgen.diffusion.dopri5._ATTEMPTS", 20)
    with pytest.raises(UserError, match="allow more error"):
        Dopri5(rtol=1e-15, atol=0.0).solve(gaussian(CIRCLE, 0.5), CIRCLE, torch.ones(1, 1, 2, 2), 1)


def entries(solver, path, steps):
    return [round(1000 * t) - 1 for t in solver.times(path, steps)[:-1]][::-1]


def test_spacing():
    assert entries(DDIM(spacing="stride"), LINEAR_BETAS, 10) == list(range(0, 1000, 100))
    assert entries(DDPM(sections=(5, 3)), COSINE, 8) == [0, 125, 250, 374, 499, 500, 750, 999]
    assert DDPM(sections=(2, 1)).times(LINEAR, 3) == [1.0, 0.5, 0.25, 0.0]
    assert Spacing(sections=(1, 1)).entries(9, 2) == [4, 8]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DDPM(sections=(5, 3)).times(COSINE, 7), "5 \\+ 3 is not 7"),
        (lambda: DDIM(spacing="stride").times(COSINE, 240), "nearest: .*200, 250"),
        (lambda: DDIM(spacing="stride", sections=(5, 3)).times(COSINE, 8), "a stride has none"),
        (lambda: DDPM(sections=(600, 3)).times(COSINE, 603), "600 is too many for a section of 500"),
        (lambda: Euler(start=0.9).times(COSINE, 8), "leave them out"),
        (lambda: Euler(start=0.1, stop=0.2).times(LINEAR, 8), "not above stop"),
        (lambda: Heun(along="path").solve(gaussian(COSINE, 1.0), COSINE, torch.ones(1, 1, 1, 1), 2), "no slopes"),
        (lambda: SDE(last="none"), "must end above 0"),
        (lambda: SDE(stop=0.1), "goes to 0"),
    ],
)
def test_what_does_not_go_together_is_said(call, message):
    with pytest.raises(UserError, match=message):
        call()
