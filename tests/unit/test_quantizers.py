"""What a quantiser is put together from: shared phis, codebooks, the entropy term."""

import math

import pytest
import torch

from hybridgen.nn.draws import Draws, keyed
from hybridgen.tokenizers.codebook import Codebook
from hybridgen.tokenizers.entropy import entropy_loss
from hybridgen.tokenizers.learnt_codebook import LearntCodebook
from hybridgen.tokenizers.phi import BlendPhi, Phis, shared_by


@pytest.mark.parametrize(
    ("count", "scales", "expected"),
    [
        (4, 10, (0, 0, 1, 1, 1, 2, 2, 3, 3, 3)),  # VAR, HART at 256 pixels; scale 2 lies between two ticks
        (4, 14, (0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3)),  # HART at 1024 pixels
        (4, 8, (0, 0, 1, 1, 2, 2, 3, 3)),
        (4, 1, (3,)),
        (1, 5, (0, 0, 0, 0, 0)),
        (3, 3, (0, 1, 2)),
    ],
)
def test_scales_share_phis(count, scales, expected):
    assert shared_by(count, scales) == expected


@pytest.mark.parametrize(
    ("last", "learning", "smooth"),
    [("never", True, False), ("training", False, False), ("training", True, True), ("always", False, True)],
)
def test_the_finest_scale_is_smoothed_when_asked(last, learning, smooth):
    phis = Phis(2, 2, 3, BlendPhi(last=last))
    h = torch.randn(1, 2, 4, 4, generator=keyed("h"))
    assert torch.equal(phis.smooth(h, 2, learning), h) is not smooth
    assert not torch.equal(phis.smooth(h, 1, learning), h)


def rows(count, channels=3):
    return torch.randn(count, channels, generator=keyed("rows", count))


def test_unit_length_stays():
    """Moving averages and revival leave vectors of length 1, and the nearest of them is the likest direction."""
    book = Codebook(7, 3, 0.5, 0.03, normalise=True)
    for step in range(3):
        x = 5 * rows(40)
        book.start(x, Draws("start"))
        book.follow(x, book.nearest(x), Draws("follow", step))
        torch.testing.assert_close(book.vectors.norm(dim=1), torch.ones(7))
    likeness = torch.nn.functional.cosine_similarity(x[:, None], book.vectors[None], dim=-1)
    assert torch.equal(book.nearest(x), likeness.argmax(1))


def test_a_learnt_codebook_has_parameters():
    """It counts, it gets a gradient, and nothing else moves it."""
    book = LearntCodebook(7, 3, normalise=False)
    before, x = book.vectors.detach().clone(), rows(40)
    book.start(x, Draws("start"))
    book.follow(x, book.nearest(x), Draws("follow"))
    assert torch.equal(book.vectors, before)
    (book.vectors[book.nearest(x)] - x).square().mean().backward()
    assert book.weight.grad.abs().sum() > 0


def test_entropy_of_a_codebook_in_use():
    """Sure of every code and all of them taken: minus log V. One code for all, or no preference at all: zero."""
    book = torch.eye(8)
    assert entropy_loss(book, book, 1e-3).item() == pytest.approx(-math.log(8), abs=1e-3)
    assert entropy_loss(book[:1].expand(5, -1), book, 1e-3).item() == pytest.approx(0, abs=1e-3)
    assert entropy_loss(torch.zeros(5, 8), book, 1.0).item() == pytest.approx(0, abs=1e-3)
