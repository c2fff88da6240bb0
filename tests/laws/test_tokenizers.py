"""The laws of tokenizers, over every card, in one, two and three dimensions; and what only some of them promise."""

from itertools import pairwise

import pytest
import torch

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.laws.measure import gradients_of
from hybridgen.laws.tokenizers import (
    TOKENIZER_LAWS,
    painting_the_truth_gives_the_latent_back,
    sets_paint_what_scales_do,
    started,
)  # fmt: skip
from hybridgen.laws.toy import data, examples
from hybridgen.nn.draws import Draws, keyed
from hybridgen.nn.positions import to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.tokenizers.canvas import replay
from tests.laws.tiny import ONE_SCALE, PYRAMID, SHALLOW, SIMPLE, SLOW, UNEVEN, build, cards, tiny

AGAINST = [f"adversary={{card: patch, {', '.join(tiny('adversary', 'patch')).replace('=', ': ')}}}"]
MORE = [
    ("pyramid", [*PYRAMID, "phi=blend"]),
    ("pyramid", [*PYRAMID, "phi=none"]),
    ("pyramid", [*PYRAMID, "phi.count=2", "phi.last=training", "growth=stepwise"]),
    ("hybrid", [*PYRAMID, "codebook=gradient", "normalise=true", "loss.entropy=0.1"]),
    ("hybrid", [*PYRAMID[:3], "net=normed", *SHALLOW]),
    ("discrete", [*ONE_SCALE, "normalise=true", "latent_scale=0.5"]),
    ("continuous", [*SIMPLE, "latent_scale=0.5"]),
    ("hybrid", [*PYRAMID, *AGAINST]),
    ("continuous", [*SIMPLE, *AGAINST, "l2=0", "l1=1"]),
]


def made(card, options, dims, uneven=False):
    torch.manual_seed(0)
    return build("tokenizer", card, options, {"data": data(dims, uneven)})


def served(card):
    """The dimensions that a card is for."""
    return Registry().card("tokenizer", card, Place("test")).dims


PARTS = ("continuous", "discrete", "hybrid", "patch", "pyramid")  # the other cards are presets of these
CASES = [
    pytest.param(card, options, n, marks=() if n == 2 and card in PARTS else SLOW)  # pictures with the fast tests
    for card, options in [*cards("tokenizer"), *MORE]
    for n in served(card)
]


@pytest.mark.parametrize(("card", "options", "dims"), CASES, ids=lambda value: str(value)[-12:])
def test_laws(card, options, dims):
    tokenizer, x = made(card, options, dims), examples(data(dims), 4)
    for law in TOKENIZER_LAWS:
        law(tokenizer, x)


@pytest.mark.parametrize(("card", "options", "dims"), CASES, ids=lambda value: str(value)[-12:])
def test_laws_on_uneven_data(card, options, dims):
    """No two sides are equal and none is a power of two but the first, in 3-D: what mixes axes up shows here."""
    options = [f"scales={UNEVEN[dims]}" if option == PYRAMID[0] else option for option in options]
    tokenizer, x = made(card, options, dims, uneven=True), examples(data(dims, uneven=True), 4)
    for law in TOKENIZER_LAWS:
        law(tokenizer, x)


@pytest.mark.parametrize("scales", ["[[1, 2], [2, 3], [4, 4]]", "[2, 2, 4, 4]"])
def test_laws_on_odd_pyramids(scales):
    """Scales that are not square, and scales that come twice."""
    tokenizer = made("hybrid", [f"scales={scales}", *PYRAMID[1:]], 2)
    for law in TOKENIZER_LAWS:
        law(tokenizer, examples(data(2), 4))


def pyramid_of(x, *options):
    return started(made("pyramid", [*PYRAMID, *options], 2), x)


def test_codes_paint_the_quantised_map():
    """What the codes of a picture paint is what its encoder's quantiser summed up."""
    x = examples(data(2), 4)
    tokenizer = pyramid_of(x)
    painted = replay(tokenizer, tokenizer.encode(x), (0, 1, 2), ()).canvas.latent
    summed = tokenizer.quantizer.encode(tokenizer.encoder(x))[1]
    torch.testing.assert_close(painted, tokenizer.units(summed), rtol=0, atol=1e-5)


def test_finer_scales_come_nearer():
    """Once trained, each scale lessens what is left, on the mean of the data."""
    x, tokenizer = examples(data(2), 32), made("pyramid", [*PYRAMID, "vocab=64"], 2)
    gradients_of(tokenizer, lambda step: tokenizer.loss(x, Draws("training", step))["loss"], 60)
    tokenizer.measure(x)
    tokenizer.requires_grad_(False)
    tokens = tokenizer.encode(x)
    truth = replay(tokenizer, tokens, (0, 1, 2), ())
    left = [(tokens.latent - c.latent).square().mean().item() for c in (*truth.before.values(), truth.canvas)]
    assert all(b <= 1.01 * a for a, b in pairwise(left)), left


def test_nearest_codes_are_nearest():
    x = examples(data(2), 32)
    book = pyramid_of(x).quantizer.codebook
    rows = torch.randn(256, book.vectors.shape[1], generator=keyed("rows"))
    distance = torch.cdist(rows.double(), book.vectors.double())
    chosen = distance.gather(1, book.nearest(rows)[:, None])[:, 0]
    torch.testing.assert_close(chosen, distance.amin(1), rtol=0, atol=1e-6)


def live_view(tokenizer, canvas, s):
    return to_sequence(shrink(canvas.latent, tokenizer.spec.scales[s]))


def owed_in_half(tokenizer, tokens, canvas, s):
    return 0.5 * to_sequence(shrink(tokens.latent - canvas.began(s), tokenizer.spec.scales[s]))


@pytest.mark.parametrize(
    ("method", "broken", "law"),
    [("view", live_view, sets_paint_what_scales_do), ("owed", owed_in_half, painting_the_truth_gives_the_latent_back)],
)
def test_laws_see_what_is_broken(monkeypatch, method, broken, law):
    tokenizer = made("hybrid", PYRAMID, 2)
    monkeypatch.setattr(type(tokenizer), method, broken)
    with pytest.raises(AssertionError):
        law(tokenizer, examples(data(2), 4))


def test_a_perceptual_term_keeps_the_laws():
    """Sound: spectrograms beside the errors of the samples."""
    tokenizer = made("continuous", [*SIMPLE, "perceptual={card: stft, ffts: [4, 8], windows: [4, 6], hops: [1, 2]}"], 1)
    x = examples(data(1), 4)
    for law in TOKENIZER_LAWS:
        law(tokenizer, x)
    assert "stft" in tokenizer.loss(x, Draws("law"))
