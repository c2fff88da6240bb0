"""Paths: their ends, their tables, their respacing, and one step of the reverse chain."""

import math

import pytest
import torch

from hybridgen.diffusion.path import COSINE, LINEAR, LINEAR_BETAS, reverse, table
from hybridgen.system.errors import UserError

TABLES = {"cosine": COSINE, "linear": LINEAR_BETAS}
PATHS = {"line": LINEAR, **TABLES}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_ends(path):
    assert (path.alpha(0.0), path.sigma(0.0)) == (1, 0)
    assert path.alpha(1.0) < 0.01 < 0.99 < path.sigma(1.0)


def test_the_line():
    assert (LINEAR.alpha(0.25), LINEAR.sigma(0.25)) == (0.75, 0.25)
    assert LINEAR.times(4).tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(("name", "last"), [("cosine", 2.4e-9), ("linear", 4.0e-5)])
def test_published_last_entry(name, last):
    """alpha_bar at the noisiest entry, to the two digits given in the literature."""
    assert TABLES[name].alpha_bar[-1].item() == pytest.approx(last, rel=0.02)
    assert table(name) is TABLES[name]


@pytest.mark.parametrize("path", TABLES.values(), ids=TABLES.keys())
def test_tables_preserve_variance_and_keep_their_entries(path):
    every = (torch.arange(1000) + 1) / 1000  # float32, as a network gets them
    for t in (every, every.double()):
        alpha, sigma = path.alpha(t), path.sigma(t)
        assert alpha.dtype == t.dtype
        torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t))
        torch.testing.assert_close(alpha.double() ** 2, path.alpha_bar, rtol=1e-5, atol=0)
    assert [path.alpha((i + 1) / 1000) for i in (0, 499, 999)] == path.alpha_bar.sqrt()[[0, 499, 999]].tolist()


def test_respacing():
    """Eight of a thousand: 0, 143, 285, 428, 571, 714, 856, 999."""
    entries = [round(1000 * t - 1) for t in COSINE.times(8).tolist()]
    assert entries == [999, 856, 714, 571, 428, 285, 143, 0, -1]
    assert COSINE.times(1).tolist() == [1, 0]
    assert COSINE.times(1000).tolist() == [i / 1000 for i in range(1000, -1, -1)]
    assert COSINE.times(8).dtype == torch.float64


def test_too_many_steps():
    with pytest.raises(UserError, match="1001 is too many"):
        COSINE.times(1001)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize(("t", "s"), [(1.0, 0.4), (0.5, 0.498), (0.3, 0.001), (0.7, 0.0)])
def test_reverse_step_keeps_the_marginals(path, t, s):
    """Mixing over x_t = alpha x + sigma noise, x_s has mean alpha_s x and variance sigma_s^2 given the clean x."""
    step = reverse(path, t, s)
    mean = step.from_x * path.alpha(t) + step.from_clean
    variance = step.from_x**2 * path.sigma(t) ** 2 + step.small
    assert mean == pytest.approx(path.alpha(s), abs=1e-12)
    assert variance == pytest.approx(path.sigma(s) ** 2, abs=1e-12)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_large_variance_is_that_of_unit_data(path):
    """Var(x_s | x_t) for x from N(0, 1), by the formula for jointly normal numbers."""
    t, s = 0.8, 0.3
    step = reverse(path, t, s)
    total_t, total_s = (path.alpha(u) ** 2 + path.sigma(u) ** 2 for u in (t, s))
    covariance = path.alpha(t) / path.alpha(s) * total_s
    assert step.large == pytest.approx(total_s - covariance**2 / total_t, rel=1e-9)
    assert math.isclose(
        reverse(COSINE, 0.5, 0.499).large, 1 - (COSINE.alpha(0.5) / COSINE.alpha(0.499)) ** 2, rel_tol=1e-9
    )
