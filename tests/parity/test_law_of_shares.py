"""How many positions are due in training: the official law of shares, which the cases hand in, at given draws.

HART's and MAR's is scipy's `truncnorm((low - 1) / 0.25, 0, loc=1, scale=0.25)`, here by the error function alone.
"""

from math import ceil, cos, erf, pi, sqrt

import pytest

from hybridgen.orders.order import SetOrder
from hybridgen.types import TokenSpec

SPEC = TokenSpec((16, 16), 4, ((16, 16),), 0)
LAWS = {"hart": {"drop": 0.5}, "mar": {"due": "normal", "due_at_least": 0.7}, "maskgit": {"due": "cosine"}}


def share_below(x, low):
    """Probability that the official share is at most x."""
    upto = lambda y: 0.5 * (1 + erf((y - 1) / (0.25 * sqrt(2))))  # noqa: E731
    return (upto(x) - upto(low)) / (upto(1.0) - upto(low))


def due(options, u):
    return SetOrder(SPEC, **options)._kept(256, u)


def official(name, u):
    """Positions due at a draw u: the share whose probability is u, by bisection."""
    if name == "maskgit":
        return ceil(256 * cos(pi / 2 * u))
    low, a, b = {"hart": 0.5, "mar": 0.7}[name], 0.0, 1.0
    a = low
    for _ in range(60):
        a, b = ((a + b) / 2, b) if share_below((a + b) / 2, low) < u else (a, (a + b) / 2)
    return max(32, 256 - int(256 * a)) if name == "hart" else ceil(256 * a)


@pytest.mark.parametrize("name", LAWS)
def test_shares(name):
    for u in (0.013, 0.2, 0.41, 0.5, 0.77, 0.951):
        assert due(LAWS[name], u) == pytest.approx(official(name, u), abs=1), u


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hart", {"drop": 0.6}), ("hart", {"due": "normal", "due_at_least": 0.5}),
        ("mar", {"due": "normal", "due_at_least": 0.6}), ("mar", {"due": "cosine"}),
    ],
)  # fmt: skip
def test_another_law_is_seen(name, options):
    assert any(abs(due(options, u) - official(name, u)) > 1 for u in (0.013, 0.2, 0.41, 0.5, 0.77, 0.951))
