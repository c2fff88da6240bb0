"""Solvers against exact recursions: with a Gaussian target every one of them is an affine map."""

import math

import pytest
import torch

from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS, Path
from hybridgen.diffusion.solvers import DDIM, DDPM, DPMpp, Euler, Heun, Solver
from hybridgen.diffusion.spacing import EVEN
from hybridgen.laws.solvers import gaussian, output_deviation
from hybridgen.nn.draws import keyed

# Output deviation for N(0, s^2) from N(0, 1), with the exact denoiser, in float64; the paths and steps beside each.
EXACT = [
    (Euler(), LINEAR, 4, 0.5, 0.340541), (Euler(), LINEAR, 4, 1.0, 0.720000),
    (Euler(), LINEAR, 8, 0.5, 0.414785), (Euler(), LINEAR, 8, 1.0, 0.850822),
    (Heun(), LINEAR, 4, 0.5, 0.504835), (Heun(), LINEAR, 4, 1.0, 0.990000),
    (DDIM(), COSINE, 8, 0.5, 0.400364), (DDIM(), COSINE, 8, 1.0, 0.838352),
    (DDPM(variance="large"), COSINE, 8, 0.5, 0.568738), (DDPM(variance="large"), COSINE, 8, 1.0, 0.999979),
    (DDPM(variance="small"), COSINE, 8, 0.5, 0.359845), (DDPM(variance="small"), COSINE, 8, 1.0, 0.770253),
    (DPMpp(), COSINE, 8, 0.5, 0.679541), (DPMpp(), COSINE, 8, 1.0, 1.165827),
    (DPMpp(), COSINE, 16, 0.5, 0.573514), (DPMpp(), COSINE, 16, 1.0, 1.042640),
]  # fmt: skip
PATHS = [LINEAR, COSINE, LINEAR_BETAS]


@pytest.mark.parametrize(("solver", "path", "steps", "s", "expected"), EXACT)
def test_exact_values(solver, path, steps, s, expected):
    assert output_deviation(solver, path, steps, s) == pytest.approx(expected, abs=1e-6)


class Narrow(Path):
    """Variance-preserving between lambda -5 and 5, in equal intervals of lambda."""

    reaches_zero = True

    def alpha(self, t):
        return _root(10 - 20 * t)

    def sigma(self, t):
        return _root(20 * t - 10)

    def times(self, steps, spacing=EVEN):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def _root(twice_lambda):
    """alpha of a variance-preserving path from 2 lambda."""
    given = isinstance(twice_lambda, torch.Tensor)
    return twice_lambda.sigmoid().sqrt() if given else 1 / math.sqrt(1 + math.exp(-twice_lambda))


def order(solver: Solver, path: Path, exact: float, s: float) -> float:
    errors = [abs(output_deviation(solver, path, n, s) - exact) for n in (64, 128)]
    return math.log2(errors[0] / errors[1])


def test_orders():
    s, path = 0.5, Narrow()
    start, end = (path.alpha(t) ** 2 * s**2 + path.sigma(t) ** 2 for t in (1.0, 0.0))
    assert order(Euler(), LINEAR, s, s) == pytest.approx(1, abs=0.1)
    assert order(Heun(), LINEAR, s, s) == pytest.approx(2, abs=0.15)
    assert order(DDIM(), path, math.sqrt(end / start), s) == pytest.approx(1, abs=0.1)
    assert order(DPMpp(), path, math.sqrt(end / start), s) == pytest.approx(2, abs=0.1)


def noise(solver: Solver, steps: int) -> torch.Tensor:
    return torch.randn(4, 1 + solver.draws(steps), 3, 2, generator=keyed("noise"), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=["line", "cosine", "linear betas"])
@pytest.mark.parametrize("steps", [1, 7])
def test_ddim_is_euler_at_eta_0_and_ddpm_at_eta_1(path, steps):
    predict, start = gaussian(path, 0.6), noise(DDPM(), steps)
    for one, other in ((DDIM(), Euler()), (DDIM(eta=1.0), DDPM(variance="small"))):
        torch.testing.assert_close(
            one.solve(predict, path, start, steps), other.solve(predict, path, start, steps), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("path", PATHS, ids=["line", "cosine", "linear betas"])
def test_learned_variance_lies_between_small_and_large(path):
    """The fraction 0 is beta tilde, 1 is beta, and without a fraction beta is taken."""
    start = noise(DDPM(), 5)

    def drawn(variance, fraction):
        def predict(x, t):
            clean, toward, _ = gaussian(path, 0.6)(x, t)
            return clean, toward, None if fraction is None else torch.full_like(x, fraction)

        return DDPM(variance=variance).solve(predict, path, start, 5)

    small, large = drawn("small", None), drawn("large", None)
    torch.testing.assert_close(drawn("learned", 0.0), small, rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn("learned", 1.0), large, rtol=0, atol=1e-6)
    assert torch.equal(drawn("learned", None), large)
    assert torch.equal(drawn("large", 0.0), large)
    assert not torch.allclose(drawn("learned", 0.5), small)


@pytest.mark.parametrize("solver", [DDIM(), DPMpp(), Euler(), Heun()], ids=repr)
@pytest.mark.parametrize("path", PATHS, ids=["line", "cosine", "linear betas"])
def test_temperature_of_ode_solvers_scales_the_deviation(solver, path):
    full, cool = (output_deviation(solver, path, 6, 0.5, temperature) for temperature in (1.0, 0.8))
    assert cool == pytest.approx(0.8 * full, rel=1e-12)


@pytest.mark.parametrize("steps", [8, 100])
def test_temperature_of_ddpm_scales_the_deviation(steps):
    """On the cosine table the start is forgotten, so that only the added noise counts."""
    full, cool = (output_deviation(DDPM(), COSINE, steps, 0.5, temperature) for temperature in (1.0, 0.8))
    assert cool == pytest.approx(0.8 * full, rel=1e-4)


@pytest.mark.parametrize("solver", [DDPM(), DDIM(eta=0.5)], ids=repr)
def test_temperature_leaves_the_start_of_stochastic_solvers_alone(solver):
    start = noise(solver, 6)
    silent = torch.cat([start[:, :1], torch.zeros_like(start[:, 1:])], 1)
    predict = gaussian(LINEAR, 0.5)
    cold = solver.solve(predict, LINEAR, start, 6, 0.0)
    torch.testing.assert_close(cold, solver.solve(predict, LINEAR, silent, 6))


def test_evaluations():
    assert [s.evaluations(LINEAR, 4) for s in (DDPM(), DDIM(), DPMpp(), Euler(), Heun())] == [4, 4, 4, 4, 8]
    assert Heun().evaluations(COSINE, 4) == 7


def test_low_precision_noise_is_lifted():
    """The state is float32 whatever the noise and the network are in."""
    start = noise(Euler(), 4).bfloat16()
    asked = []

    def predict(x, t):
        asked.append((x.dtype, t.dtype))
        return x.bfloat16(), x.bfloat16(), None

    assert Euler().solve(predict, LINEAR, start, 4).dtype == torch.float32
    assert set(asked) == {(torch.float32, torch.float32)}
