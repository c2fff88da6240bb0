"""The laws of orders, over every card and what its options can make of it, in one, two and three dimensions."""

import pytest

from hybridgen.laws.orders import ORDER_LAWS
from hybridgen.laws.toy import plain, pyramid
from hybridgen.nn.draws import Draws
from hybridgen.orders.order import SetOrder
from tests.laws.tiny import build, cards

PATCHES = {1: [(1,), (3,)], 2: [(1, 1), (3, 2), (1, 6)], 3: [(1, 1, 1), (1, 3, 4)]}


@pytest.mark.parametrize("law", ORDER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    ("card", "options"),
    [*cards("order"), ("scales", ["drop=0.5", "keep_at_least=1"])],
    ids=lambda value: str(value)[:7],
)
def test_law(card, options, dims, law):
    law(build("order", card, options, {"tokens": pyramid(dims)}), pyramid(dims))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_laws_of_patches(dims):
    for patch in PATCHES[dims]:
        for law in ORDER_LAWS:
            law(SetOrder(plain(dims), patch=patch), plain(dims))
            law(SetOrder(pyramid(dims), visits="last", patch=patch), pyramid(dims))


def test_left_out_shares_follow_the_cut_normal_law():
    """Of mean 1 and deviation .25 cut to [.5, 1]: by its density, a mean share of .834."""
    order = SetOrder(plain(2), drop=0.5, keep_at_least=1)
    kept = [order.training(1, Draws("share", i)).sizes[0] / 18 for i in range(500)]
    assert max(kept) <= 0.5 + 1 / 18  # counts are rounded up
    assert sum(kept) / 500 == pytest.approx(1 - 0.834 + 0.5 / 18, abs=0.02)


def test_patches_run_in_raster_order():
    due = SetOrder(plain(2, even=True), patch=(2, 2)).training(1, Draws("raster"))
    assert due.positions[0, :8].tolist() == [0, 1, 4, 5, 2, 3, 6, 7]
    assert due.grids == ((2, 2),) * 4
