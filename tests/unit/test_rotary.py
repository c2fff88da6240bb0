"""Rotary positions: a rotation keeps lengths, and scores depend on distances alone; what crosses axes is none."""

import pytest
import torch

from hybridgen.nn.draws import keyed
from hybridgen.nn.rotary import Rotary
from hybridgen.system.errors import UserError

q, k = (torch.randn(1, 1, 1, 12, generator=keyed(name)) for name in "qk")


def turned(rotary, x, *at):
    return rotary(torch.tensor([[at]], dtype=torch.float32)).rotate(x)


@pytest.mark.parametrize("pairing", ["axis", "interleaved"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_scores_depend_on_distances(axes, pairing):
    rotary, far = Rotary(12, axes, pairing), [5.0, -2.0, 3.0][:axes]
    near, there = [0.0] * axes, [7.0, 1.0, 4.0][:axes]
    shifted = [a + b for a, b in zip(there, far, strict=True)]
    score = (turned(rotary, q, *near) * turned(rotary, k, *there)).sum()
    moved = (turned(rotary, q, *far) * turned(rotary, k, *shifted)).sum()
    torch.testing.assert_close(score, moved, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned(rotary, q, *there).norm(), q.norm())


def test_crossed_pairs_are_no_rotation():
    rotary = Rotary(12, 2, "crossed")
    assert abs(turned(rotary, q, 3.0, 1.0).norm() - q.norm()) > 1e-3
    torch.testing.assert_close(turned(rotary, q, 2.0, 2.0).norm(), q.norm())  # but for equal coordinates


@pytest.mark.parametrize("pairing", ["axis", "interleaved", "crossed"])
def test_a_line_is_rotated_as_one_axis(pairing):
    """A prefix has one coordinate and the whole head: by hand, the first pair steps by the coordinate itself."""
    rotary, partner = Rotary(12, 2, pairing), {"axis": 3, "interleaved": 1, "crossed": 6}[pairing]
    got = turned(rotary, q, 0.7)
    a, b, angle = q[..., 0], q[..., partner], torch.tensor(0.7)
    torch.testing.assert_close(got[..., 0], a * angle.cos() - b * angle.sin())
    torch.testing.assert_close(got.norm(), q.norm())


def test_joined_and_zero():
    rotary = Rotary(12, 2, "axis")
    one, two = rotary(torch.zeros(1, 2, 2)), rotary(torch.ones(3, 1, 2))
    both = one.zero().then(two)
    assert both.cos.shape == (3, 1, 3, 12)
    assert both.rotate(q.expand(3, 1, 3, 12))[:, :, :2].count_nonzero() == 0


def test_heads_too_narrow_are_a_user_error():
    with pytest.raises(UserError, match="no pairs"):
        Rotary(8, 3, "axis")
