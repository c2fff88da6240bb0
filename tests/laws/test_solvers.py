"""The laws of solvers, over every solver and every path."""

import pytest

from hybridgen.diffusion.curves import CIRCLE, VARIANCE_PRESERVING
from hybridgen.diffusion.dopri5 import Dopri5
from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS
from hybridgen.diffusion.sde import SDE
from hybridgen.diffusion.solvers import DDIM, DDPM, DPMpp, Euler, Heun
from hybridgen.laws.solvers import SOLVER_LAWS

SOLVERS = [
    DDPM(), DDPM(variance="large"), DDPM(variance="small"), DDIM(), DDIM(eta=0.3), DDIM(eta=1.0), DPMpp(), Euler(),
    Heun(), SDE(last_size=0.01), SDE(method="heun", rate="linear"), SDE(rate="decreasing", last_size=0.01), Dopri5(),
]  # fmt: skip
PATHS = {
    "line": LINEAR, "circle": CIRCLE, "vp": VARIANCE_PRESERVING, "cosine": COSINE, "linear betas": LINEAR_BETAS,
}  # fmt: skip


@pytest.mark.parametrize("law", SOLVER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_law(solver, path, law):
    law(solver, path)
