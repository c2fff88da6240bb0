"""The laws of solvers, over every solver and every path."""

import pytest

from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS
from hybridgen.diffusion.solvers import DDIM, DDPM, DPMpp, Euler, Heun
from hybridgen.laws.solvers import SOLVER_LAWS

SOLVERS = [
    DDPM(), DDPM(variance="large"), DDPM(variance="small"), DDIM(), DDIM(eta=0.3), DDIM(eta=1.0), DPMpp(), Euler(),
    Heun(),
]  # fmt: skip
PATHS = {"line": LINEAR, "cosine": COSINE, "linear betas": LINEAR_BETAS}


@pytest.mark.parametrize("law", SOLVER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_law(solver, path, law):
    law(solver, path)
