"""Averaged weights: warm-up, swapping, saving."""

import pytest
import torch
from torch import nn

from hybridgen.training.ema import Ema


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def moved(net, amount):
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(amount)


def test_decay_rises_to_its_cap(net):
    """Decay min(cap, (1 + n) / (10 + n)): 0.1, 2/11, then the cap of 0.2."""
    moved(net, 0.0)
    ema, expected = Ema(net, 0.2), 0.0
    for step, decay in enumerate((1 / 10, 2 / 11, 0.2, 0.2), start=1):
        moved(net, float(step))
        ema.update()
        expected = decay * expected + (1 - decay) * step
        assert ema.average[0].flatten()[0].item() == pytest.approx(expected)


def test_no_decay_keeps_the_latest(net):
    ema = Ema(net, 0.0)
    for amount in (1.0, 2.0):
        moved(net, amount)
        ema.update()
        assert all(average.equal(p) for average, p in zip(ema.average, net.parameters(), strict=True))


def test_equal_weights_stay_equal_to_the_bit(net):
    """What is frozen is averaged with itself."""
    before = [p.detach().clone() for p in net.parameters()]
    ema = Ema(net, 0.998)
    for _ in range(50):
        ema.update()
    assert all(a.equal(b) for a, b in zip(ema.average, before, strict=True))


def test_swapped_and_back_even_after_an_error(net):
    ema = Ema(net, 0.9)
    averages = [a.clone() for a in ema.average]
    moved(net, 3.0)

    def draw():
        with ema.swapped():
            assert all(p.equal(a) for p, a in zip(net.parameters(), averages, strict=True))
            raise RuntimeError("drawing failed")

    with pytest.raises(RuntimeError, match="drawing failed"):
        draw()
    assert all((p == 3.0).all() for p in net.parameters())
    assert all(a.equal(b) for a, b in zip(ema.average, averages, strict=True))


def test_state_goes_round(net):
    ema = Ema(net, 0.9)
    moved(net, 1.0)
    ema.update()
    other = Ema(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), 0.9)
    other.load_state_dict(ema.state_dict())
    assert other.updates == 1
    assert all(a.equal(b) for a, b in zip(other.average, ema.average, strict=True))


def test_buffers_are_left_alone(net):
    net[1].running_mean.fill_(7.0)
    ema = Ema(net, 0.9)
    assert not any("running" in name for name in ema.names)
    with ema.swapped():
        assert (net[1].running_mean == 7.0).all()


def test_the_end_of_training(net):
    ema = Ema(net, 0.9)
    averages = [a.clone() for a in ema.average]
    moved(net, 5.0)
    ema.copy_to_shown()
    assert all(p.equal(a) for p, a in zip(net.parameters(), averages, strict=True))
