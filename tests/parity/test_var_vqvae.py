"""VAR's tokenizer: our general parts with its weights against stored outputs of the official code."""

from math import prod

import pytest
import torch

from hybridgen.types import Tokens
from tests.parity.reference import Case
from tests.parity.tokenizer_cases import (
    RNG,
    check_it_matters,
    codes_of,
    latents,
    paint_next,
    painted,
    teacher_input,
    tokenizer_of,
)  # fmt: skip


@pytest.fixture(scope="module")
def case():
    return Case("var_vqvae")


@pytest.fixture(scope="module")
def tokenizer(case):
    return tokenizer_of(case)


@pytest.fixture(scope="module")
def tokens(case, tokenizer):
    return tokenizer.encode(case.ins["image"])


def test_encoder(case, tokenizer, tokens):
    case.check("encoder", tokenizer.encoder.features(case.ins["image"]))
    case.check("f", tokens.latent)


def test_codes(case, tokenizer, tokens):
    for s, codes in enumerate(tokens.codes):
        case.check(f"idx.{s}", codes)
    truth = painted(tokenizer, tokens)
    case.check("var_input", teacher_input(truth))
    for s, latent in enumerate(latents(truth, 5)):
        case.check(f"fhat.{s}", latent)


def test_pictures(case, tokenizer, tokens):
    after = latents(painted(tokenizer, tokens), 5)
    case.check("image_per_scale", torch.stack([tokenizer.decode(after[s]) for s in (0, 2, 4)]))
    case.check("idx_to_image", tokenizer.decode(after[-1]))


def test_stepwise_growth(case, tokens):
    grown = tokenizer_of(case, "growth=stepwise")
    case.check("small_to_large_image_last", grown.decode(painted(grown, tokens).canvas.latent))


def test_training(case, tokenizer):
    """The quantiser's own loss, and the decoder behind it."""
    learned = tokenizer.quantizer.learn(tokenizer.raw(case.ins["image"]), RNG, follow=True)
    case.check("forward.fhat", learned.painted)
    case.check("forward.image_unclamped", tokenizer.decoder(learned.painted))
    case.check("forward.vq_loss", learned.losses["quantizer"])


def test_usage(case, tokenizer):
    """Codes in use by scale, in percent: hit at least 0.08 times as often as if all were alike.

    The hits are the official buffer's, which the import leaves out; a forward in evaluation only reads them.
    """
    hits, evenly = case.weights["quantize.ema_vocab_hit_SV"], 2 * prod(tokenizer.spec.grid) / tokenizer.spec.vocab
    case.check("forward.usage", 100 * (hits >= 0.08 * evenly).float().mean(1))


def test_recursion(case, tokenizer, tokens):
    canvas = tokenizer.blank(2)
    for s, codes in enumerate(tokens.codes):
        canvas, following = paint_next(tokenizer, canvas, codes, s)
        case.check(f"recursion.next.{s}", following)


MUTATIONS = {
    "phi.count=1": "Unexpected key",
    "phi.last=never": "",
    "phi.ratio=0.6": "",
    "phi={card: residual, count: 4, last: always}": "",
    "growth=stepwise": "",
    "loss.commitment=0.3": "",
    "latent_scale=1.01": "",
    "normalise=true": "",
    "codebook=averages": "Unexpected key",
    "net.pad=both": "",
    "net.eps=1e-4": "",
    "net.groups=16": "",
    "net.kernel=1": "size mismatch",
    "net.multipliers=[1,1,1]": "size mismatch",
    "net.encoder_blocks=2": "Missing key",
    "net.decoder_blocks=3": "Missing key",
    "net.encoder_attention=[1]": "Missing key",
    "net.decoder_attention=[]": "Unexpected key",
    "net.middle_attention=false": "Unexpected key",
}


def compare(case, other):
    """Enough to tell one option from another."""
    test_encoder(case, other, other.encode(case.ins["image"]))
    test_recursion(case, other, Tokens(case.outs["f"], codes_of(case.outs, "idx.")))
    test_training(case, other)


@pytest.mark.slow
@pytest.mark.parametrize("option", MUTATIONS)
def test_each_option_matters(option):
    check_it_matters("var_vqvae", option, compare, MUTATIONS[option])


def test_every_output_is_accounted_for(case):
    case.finish()
