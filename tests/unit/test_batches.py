"""Batches are a function of (seed, index): nothing else decides which examples a step sees."""

from itertools import islice

import pytest
import torch

from hybridgen.data.base import MemorySplit
from hybridgen.media.image import ImageMedium
from hybridgen.nn.draws import Draws
from hybridgen.training.batches import Batches, Stream, mirrored

SIZE = 10


def batches(batch=4, seed=0, **ranks):
    return Batches(MemorySplit(torch.arange(SIZE)[:, None], label=torch.arange(SIZE) * 2), batch, seed, **ranks)


def stream(start=0, workers=0, **how):
    return Stream(batches(**how), start, workers)


def test_every_pass_sees_every_example_once():
    """Batches of 4 over 10 examples: the third one takes from two passes."""
    rows = torch.cat([batches().rows(index) for index in range(5)])
    first, second = rows[:SIZE], rows[SIZE:]
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(SIZE))
    assert first.tolist() != second.tolist()


def test_a_batch_larger_than_the_data():
    rows = batches(batch=25).rows(0)
    assert len(rows) == 25
    assert rows[:SIZE].sort().values.tolist() == list(range(SIZE))


def test_starting_later_gives_what_would_have_come():
    whole = [batch["x"].tolist() for batch in islice(stream(), 8)]
    later = [batch["x"].tolist() for batch in islice(stream(start=3), 5)]
    assert later == whole[3:]


def test_asking_in_any_order_gives_the_same():
    made = batches()
    forth = [made.rows(index).tolist() for index in range(6)]
    back = [made.rows(index).tolist() for index in reversed(range(6))]
    assert back == forth[::-1]


def test_the_seed_names_the_order(untouched_randomness):
    assert batches(seed=1).rows(0).tolist() != batches(seed=2).rows(0).tolist()
    assert batches(seed=1).rows(0).tolist() == batches(seed=1).rows(0).tolist()


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batch(world):
    whole = batches(batch=8).rows(1)
    parts = [batches(batch=8, rank=rank, world=world).rows(1) for rank in range(world)]
    assert torch.cat(parts).tolist() == whole.tolist()
    assert {len(part) for part in parts} == {8 // world}


def test_columns_stay_together():
    batch = next(iter(stream(start=2)))
    assert batch["index"] == 2
    assert (batch["label"] == 2 * batch["x"][:, 0]).all()


def test_bytes_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    medium = ImageMedium()
    unit = medium.restore(pixels)
    assert (unit.min(), unit.max()) == (-1, 1)
    assert medium.store(unit).equal(pixels)
    assert medium.store(torch.tensor([-9.0, 9.0]).view(1, 1, 2)).flatten().tolist() == [0, 255]


def test_half_of_the_rows_are_mirrored():
    x = torch.arange(6.0).expand(400, 1, 2, 6)
    seen = mirrored(x, (-1,), Draws("mirror"))
    turned = (seen[:, 0, 0, 0] == 5).sum().item()
    assert 150 < turned < 250  # 200, five deviations of 10
    assert ((seen == x).flatten(1).all(1) | (seen == x.flip(-1)).flatten(1).all(1)).all()
    assert mirrored(x, (-1,), Draws("mirror")).equal(seen)
