"""What every solver promises, as functions of a solver and a path: `for law in SOLVER_LAWS: law(solver, path)`.

The exact denoiser of a Gaussian stands in for the network: with it every solver is an affine map of its noise, so
that the deviation of its output is known to rounding, without drawing anything.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from hybridgen.diffusion.path import Path
from hybridgen.diffusion.solvers import Estimate, Predict, Solver
from hybridgen.nn.draws import keyed

_STEPS = 5


def gaussian(path: Path, deviation: float) -> Predict:
    """The exact estimate for a clean value from N(0, deviation^2)."""

    def predict(x: Tensor, t: Tensor) -> Estimate:
        alpha, sigma = path.alpha(t)[..., None], path.sigma(t)[..., None]
        share = x / (alpha**2 * deviation**2 + sigma**2)
        return deviation**2 * alpha * share, sigma * share, None

    return predict


def output_deviation(solver: Solver, path: Path, steps: int, deviation: float, temperature: float = 1.0) -> float:
    """Deviation of what a solver draws for N(0, deviation^2): one impulse for each noise it takes, in float64."""
    impulses = torch.eye(1 + solver.draws(steps), dtype=torch.float64)[:, :, None, None]
    out = solver.solve(gaussian(path, deviation), path, impulses, steps, temperature)
    return float(out.square().sum().sqrt())


def known_value_is_reached(solver: Solver, path: Path) -> None:
    """Where the network knows clean value and noise (a constant velocity), the value is reached in any steps."""
    for steps in (1, 2, _STEPS):
        noise, first = _noise(solver, steps), solver.times(path, steps)[0]
        clean, added = torch.full_like(noise[:, 0], 0.7), noise[:, 0].clone()
        noise[:, 0] = path.alpha(first) * clean + path.sigma(first) * added
        out = solver.solve(_known(clean, added), path, noise, steps)
        torch.testing.assert_close(out, clean, rtol=0, atol=1e-5)  # float32 and values of order 1


def more_steps_are_better(solver: Solver, path: Path) -> None:
    """The deviation of a Gaussian is off by less at 160 steps than at 10, or by nothing, and by less than 6 % there."""
    few, many = (abs(output_deviation(solver, path, steps, 0.5) - 0.5) for steps in (10, 160))
    assert many < max(few, 1e-3), (few, many)
    assert many < 0.03, many


def noise_is_declared(solver: Solver, path: Path) -> None:
    """A solver reads its start and `draws` more, nothing beyond; and all but perhaps the last of them matter."""
    noise, predict = _noise(solver, _STEPS), gaussian(path, 0.5)
    out = solver.solve(predict, path, noise, _STEPS)
    longer = torch.cat([noise, torch.full_like(noise[:, :1], torch.nan)], 1)
    assert torch.equal(solver.solve(predict, path, longer, _STEPS), out)
    for k in range(1, solver.draws(_STEPS)):
        changed = noise.clone()
        changed[:, k] += 1
        assert not torch.equal(solver.solve(predict, path, changed, _STEPS), out), k


def evaluations_are_declared(solver: Solver, path: Path) -> None:
    """The network is asked `evaluations` times, from the start on, and never at 0 where it knows none.

    The times fall, unless a solver cannot say beforehand how many they are: it may try a step again.
    """
    for steps in (1, _STEPS):
        asked, declared = list[float](), solver.evaluations(path, steps)
        one_row = _noise(solver, steps)[:1]  # rows may go at their own pace
        solver.solve(_noting(gaussian(path, 0.5), asked), path, one_row, steps)
        if declared is not None:
            assert len(asked) == declared, asked
            assert asked == sorted(asked, reverse=True), asked
        assert asked[0] == max(asked) == torch.tensor(solver.times(path, steps)[0]).item(), asked
        assert path.reaches_zero or min(asked) > 0, asked


def temperature_narrows(solver: Solver, path: Path) -> None:
    """Temperature 1 changes no bit; a lower one narrows the draw, by no more than itself."""
    noise, predict = _noise(solver, _STEPS), gaussian(path, 0.5)
    plain = solver.solve(predict, path, noise, _STEPS)
    assert torch.equal(solver.solve(predict, path, noise, _STEPS, temperature=1.0), plain)
    full, cool = (output_deviation(solver, path, _STEPS, 0.5, temperature) for temperature in (1.0, 0.8))
    assert 0.8 * full * (1 - 1e-9) <= cool < full, (full, cool)


def rows_are_independent(solver: Solver, path: Path) -> None:
    """A row's draw depends on its own noise alone, also in a batch of 1; the noise is left as it was."""
    noise, predict = _noise(solver, _STEPS), gaussian(path, 0.5)
    kept = noise.clone()
    whole = solver.solve(predict, path, noise, _STEPS)
    assert torch.equal(noise, kept)
    assert whole.shape == (noise.shape[0], *noise.shape[2:])
    assert whole.dtype == torch.float32
    torch.testing.assert_close(solver.solve(predict, path, noise[1:2], _STEPS), whole[1:2], rtol=0, atol=1e-6)


def no_global_randomness(solver: Solver, path: Path) -> None:
    """The global generator is neither read nor moved."""
    before = torch.get_rng_state()
    solver.solve(gaussian(path, 0.5), path, _noise(solver, _STEPS), _STEPS)
    assert torch.equal(before, torch.get_rng_state())


SOLVER_LAWS: tuple[Callable[[Solver, Path], None], ...] = (
    known_value_is_reached, more_steps_are_better, noise_is_declared, evaluations_are_declared, temperature_narrows,
    rows_are_independent, no_global_randomness,
)  # fmt: skip


def _known(clean: Tensor, noise: Tensor) -> Predict:
    return lambda x, t: (clean, noise, None)


def _noting(predict: Predict, asked: list[float]) -> Predict:
    """`predict`, noting the times it is asked for."""

    def noting(x: Tensor, t: Tensor) -> Estimate:
        assert t.shape == x.shape[:2]
        asked.append(t.unique().item())
        return predict(x, t)

    return noting


def _noise(solver: Solver, steps: int) -> Tensor:
    return torch.randn(3, 1 + solver.draws(steps), 4, 2, generator=keyed("law", steps))
