"""LlamaGen's VQ tokenizer: codes of unit length, and its training losses, against stored outputs."""

import pytest
import torch
from einops import rearrange

from hybridgen.nn.positions import to_grid
from hybridgen.tokenizers.rebuild import used_share
from tests.parity.reference import Case
from tests.parity.tokenizer_cases import RNG, check_it_matters, painted, tokenizer_of


@pytest.fixture(scope="module")
def case():
    return Case("llamagen_vq")


@pytest.fixture(scope="module")
def tokenizer(case):
    return tokenizer_of(case)


def test_encoder(case, tokenizer):
    image = case.ins["image"]
    case.check("encoder", tokenizer.encoder.features(image))
    case.check("f", tokenizer.encoder(image))


def test_codes(case, tokenizer):
    tokens = tokenizer.encode(case.ins["image"])
    case.check("codes", tokens.codes[0].flatten())
    case.check("codebook_normalised", tokenizer.quantizer.codebook.vectors)
    vectors = painted(tokenizer, tokens).canvas.latent
    case.check("quant", vectors)
    case.check("image", tokenizer.decoder(vectors))
    given = rearrange(case.outs["codes"], "(B n) -> B n", B=2)
    looked_up = to_grid(tokenizer.lookup(given, 0), tokenizer.spec.grid)
    case.check("image_from_codes", tokenizer.decoder(looked_up))


def test_training(case, tokenizer):
    """The three losses, whose sum is ours; usage by this batch's codes and those that the official buffer holds."""
    learned = tokenizer.quantizer.learn(tokenizer.raw(case.ins["image"]), RNG, follow=False)
    weights, losses, codes = tokenizer.quantizer.weights, learned.losses, learned.codes[0].flatten()
    case.check("train.codes", codes)
    case.check("train.vq_loss", losses["codebook"])
    case.check("train.commit_loss", weights.commitment * losses["commitment"])
    case.check("train.entropy_loss", weights.entropy * losses["entropy"])
    whole = case.outs["train.vq_loss"] + case.outs["train.commit_loss"] + case.outs["train.entropy_loss"]
    torch.testing.assert_close(losses["quantizer"], whole, rtol=1e-5, atol=0)
    lately = torch.cat([case.weights["quantize.codebook_used"], codes])[len(codes) :]
    case.check("train.codebook_used_tail", lately[-256:])
    case.check("train.codebook_usage", torch.tensor(used_share(lately.long(), tokenizer.spec.vocab)))


MUTATIONS = {
    "normalise=false": "",
    "loss.commitment=1": "",
    "loss.entropy=0.2": "",
    "loss.entropy_temperature=0.02": "",
    "net.pad=both": "",
    "net.eps=1e-4": "",
    "net.inner=0": "size mismatch",
    "net.decoder_multipliers=[]": "size mismatch",
    "net.decoder_blocks=1": "Unexpected key",
    "net.decoder_attention=[]": "Unexpected key",
    "codebook=averages": "Unexpected key",
}


def compare(case, other):
    """Enough to tell one option from another."""
    test_encoder(case, other)
    test_codes(case, other)
    test_training(case, other)


@pytest.mark.slow
@pytest.mark.parametrize("option", MUTATIONS)
def test_each_option_matters(option):
    check_it_matters("llamagen_vq", option, compare, MUTATIONS[option])


def test_every_output_is_accounted_for(case):
    case.finish()
