"""HART's tokenizer: codes and the residual they leave, against stored outputs of the official code.

Its code has phi at the finest scale in training and in the code-only path it inherits, and not where targets are
encoded or pictures painted: one option, `phi_last`, with two of its values.
"""

import pytest
import torch

from hybridgen.tokenizers.rebuild import used_share
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

SCALES = 8


@pytest.fixture(scope="module")
def case():
    return Case("hart_tokenizer")


@pytest.fixture(scope="module")
def tokenizer(case):
    return tokenizer_of(case)


@pytest.fixture(scope="module")
def smoothed(case):
    """The same weights, with phi at the finest scale always: the inherited code-only path."""
    return tokenizer_of(case, "phi.last=always")


@pytest.fixture(scope="module")
def tokens(case, tokenizer):
    return tokenizer.encode(case.ins["image"])


def test_encoder(case, tokenizer, tokens):
    case.check("encoder", tokenizer.encoder.features(case.ins["image"]))
    case.check("f", tokens.latent)


def test_codes_alone(case, smoothed):
    tokens = smoothed.encode(case.ins["image"])
    for s, codes in enumerate(tokens.codes):
        case.check(f"discrete.idx.{s}", codes)
    truth = painted(smoothed, tokens)
    for s, latent in enumerate(latents(truth, SCALES)):
        case.check(f"discrete.fhat.{s}", latent)
    case.check("discrete.var_input", teacher_input(truth))
    case.check("discrete.embed_to_fhat_last", truth.canvas.latent)
    case.check("discrete.image", smoothed.decode(truth.canvas.latent))


def test_stepwise_growth(case, tokens):
    grown = tokenizer_of(case, "phi.last=always", "growth=stepwise")
    case.check("discrete.embed_to_fhat_small_to_large_last", painted(grown, tokens).canvas.latent)


def test_codes_and_residual(case, tokenizer, tokens):
    """What the generator learns: codes, and what is owed at the finest scale."""
    for s, codes in enumerate(tokens.codes):
        case.check(f"hybrid.idx.{s}", codes)
    truth = painted(tokenizer, tokens, residual_at=(SCALES - 1,))
    owed = truth.owed[SCALES - 1]
    case.check("hybrid.var_input", teacher_input(truth))
    case.check("hybrid.rest_before_last", owed)
    case.check("hybrid.residual_vs_gt_code", owed - tokenizer.lookup(tokens.codes[-1], SCALES - 1))


@pytest.mark.parametrize("shown", ["continuous", "discrete"])
def test_training(case, tokenizer, shown):
    """The tokenizer's training forward, the decoder shown the latent or the codes' sum."""
    raw = tokenizer.raw(case.ins["image"])
    learned = tokenizer.quantizer.learn(raw, RNG, follow=False)
    latent = raw if shown == "continuous" else learned.painted
    for s, codes in enumerate(learned.codes):
        case.check(f"forward.{shown}.idx.{s}", codes.flatten())
    case.check(f"forward.{shown}.fhat", latent)
    case.check(f"forward.{shown}.image", tokenizer.decoder(latent))
    case.check(f"forward.{shown}.vq_loss", learned.losses["quantizer"])
    used = used_share(torch.cat([codes.flatten() for codes in learned.codes]), tokenizer.spec.vocab)
    case.check(f"forward.{shown}.usage", torch.tensor(100 * used))


def test_recursion(case, tokenizer, tokens):
    canvas = tokenizer.blank(2)
    for s, codes in enumerate(tokens.codes):
        canvas, following = paint_next(tokenizer, canvas, codes, s)
        case.check(f"recursion.fhat.{s}", canvas.latent)
        if s + 1 < SCALES:
            case.check(f"recursion.next.{s}", following)
    case.check("recursion.image_pm1", tokenizer.decode(canvas.latent))


MUTATIONS = ["phi.last=never", "phi.last=always", "phi.ratio=0.4", "growth=stepwise", "loss.commitment=0"]


def compare(case, other):
    """Enough to tell one option from another."""
    forced = Tokens(case.outs["f"], codes_of(case.outs, "hybrid.idx."))
    test_codes_and_residual(case, other, forced)
    test_recursion(case, other, forced)
    test_training(case, other, "discrete")


@pytest.mark.parametrize("option", MUTATIONS)
def test_each_option_matters(option):
    check_it_matters("hart_tokenizer", option, compare)


def test_every_output_is_accounted_for(case):
    case.finish()
