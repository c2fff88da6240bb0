"""Every array of the respaced diffusions (DiT, MAR and HART share the code), from our paths and steps."""

import math
from itertools import pairwise

import pytest
import torch
from reference import Case

from hybridgen.diffusion.path import COSINE, ENTRIES, LINEAR_BETAS, reverse
from hybridgen.diffusion.solvers import DDIM, DDPM

TABLES = {"cosine": COSINE, "linear": LINEAR_BETAS}
SPACINGS = {
    "full": (DDPM(), ENTRIES), "8": (DDPM(), 8), "10": (DDPM(), 10), "100": (DDPM(), 100),
    "5,3": (DDPM(sections=(5, 3)), 8), "ddim10": (DDIM(spacing="stride"), 10), "ddim25": (DDIM(spacing="stride"), 25),
}  # fmt: skip


@pytest.fixture(scope="module")
def case():
    return Case("diffusion_tables")


def arrays(path, times):
    """What the official code keeps of each step, by its names, lowest noise first."""
    steps = [reverse(path, t, s) for t, s in pairwise(times)][::-1]
    alpha_bar = [path.alpha(t) ** 2 for t in reversed(times)]  # from t = 0 on
    kept, before = alpha_bar[1:], alpha_bar[:-1]
    return {
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "betas": [step.large for step in steps],
        "log_one_minus_alphas_cumprod": [math.log(1 - a) for a in kept],
        "posterior_mean_coef1": [step.from_clean for step in steps],
        "posterior_mean_coef2": [step.from_x for step in steps],
        "posterior_variance": [step.small for step in steps],
        "posterior_log_variance_clipped": [math.log(step.small) for step in (steps[1], *steps[1:])],
        "sqrt_alphas_cumprod": [math.sqrt(a) for a in kept],
        "sqrt_one_minus_alphas_cumprod": [math.sqrt(1 - a) for a in kept],
        "sqrt_recip_alphas_cumprod": [1 / math.sqrt(a) for a in kept],
        "sqrt_recipm1_alphas_cumprod": [math.sqrt(1 / a - 1) for a in kept],
    }


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", TABLES)
def test_table(case, name, spacing):
    """Within the case's tolerance of the largest, and entry by entry to float32, in which they are stored."""
    (solver, steps), path, key = SPACINGS[spacing], TABLES[name], f"{name}.{spacing}"
    times = solver.times(path, steps)
    entries = [round(ENTRIES * t) - 1 for t in times[-2::-1]]
    case.check(f"{key}.timestep_map", torch.tensor(entries))
    stride = 25 if spacing == "full" else 1  # the full tables are stored at every 25th entry
    for array, values in arrays(path, times).items():
        ours = torch.tensor(values, dtype=torch.float64)[::stride]
        case.check(f"{key}.{array}", ours)
        torch.testing.assert_close(ours, case.outs[f"{key}.{array}"].double(), rtol=2e-6, atol=1e-12)


def test_every_output_was_compared(case):
    assert case.finish() == len(case.outs)
