"""Solvers against exact recursions: with a Gaussian target every one of them is an affine map."""

import math

import pytest
import torch

from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS, Path
from hybridgen.diffusion.solvers import DDIM, DDPM, DPMpp, Euler, Heun, Solver

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
EVERY = [DDPM(), DDIM(), DDIM(eta=1.0), DDIM(eta=0.3), DPMpp(), Euler(), Heun()]
PATHS = [LINEAR, COSINE, LINEAR_BETAS]


def gaussian(path: Path, s: float, mean: float = 0.0):
    """The exact denoiser of N(mean, s^2)."""

    def predict(x, t):
        alpha, sigma = path.alpha(t)[..., None], path.sigma(t)[..., None]
        variance = alpha**2 * s**2 + sigma**2
        clean = mean + s**2 * alpha * (x - alpha * mean) / variance
        return clean, sigma * (x - alpha * mean) / variance, None

    return predict


def deviation(solver: Solver, path: Path, steps: int, s: float, temperature: float = 1.0) -> float:
    """Output deviation, exact: the map is linear in the start and in every later noise."""
    m = 1 + solver.draws(steps)
    impulses = torch.eye(m, dtype=torch.float64)[:, :, None, None]  # (m, m, 1, 1): one noise at a time
    out = solver.solve(gaussian(path, s), path, impulses, steps, temperature)
    return out.square().sum().sqrt().item()


@pytest.mark.parametrize(("solver", "path", "steps", "s", "expected"), EXACT)
def test_exact_values(solver, path, steps, s, expected):
    assert deviation(solver, path, steps, s) == pytest.approx(expected, abs=1e-6)


class Narrow(Path):
    """Variance-preserving between lambda -5 and 5, in equal intervals of lambda."""

    reaches_zero = True

    def alpha(self, t):
        return (
            self._lambda(t).sigmoid().sqrt()
            if isinstance(t, torch.Tensor)
            else 1 / math.sqrt(1 + math.exp(-20 * (0.5 - t)))
        )

    def sigma(self, t):
        return (
            (-self._lambda(t)).sigmoid().sqrt()
            if isinstance(t, torch.Tensor)
            else 1 / math.sqrt(1 + math.exp(20 * (0.5 - t)))
        )

    def _lambda(self, t):
        return 20 * (0.5 - t)  # 2 lambda

    def times(self, steps):
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64)


def order(solver: Solver, path: Path, exact: float, s: float) -> float:
    errors = [abs(deviation(solver, path, n, s) - exact) for n in (64, 128)]
    return math.log2(errors[0] / errors[1])


def test_orders():
    s, path = 0.5, Narrow()
    start, end = (path.alpha(t) ** 2 * s**2 + path.sigma(t) ** 2 for t in (1.0, 0.0))
    assert order(Euler(), LINEAR, s, s) == pytest.approx(1, abs=0.1)
    assert order(Heun(), LINEAR, s, s) == pytest.approx(2, abs=0.15)
    assert order(DDIM(), path, math.sqrt(end / start), s) == pytest.approx(1, abs=0.1)
    assert order(DPMpp(), path, math.sqrt(end / start), s) == pytest.approx(2, abs=0.1)
