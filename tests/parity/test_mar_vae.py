"""MAR's KL autoencoder, which has the shape of Stable Diffusion's, against stored outputs of the official code."""

import pytest

from hybridgen.tokenizers.continuous import divergence, draw
from tests.parity.reference import Case
from tests.parity.tokenizer_cases import check_it_matters, tokenizer_of


@pytest.fixture(scope="module")
def case():
    return Case("mar_vae")


@pytest.fixture(scope="module")
def tokenizer(case):
    return tokenizer_of(case)


def test_encoder(case, tokenizer):
    image = case.ins["image"]
    case.check("encoder", tokenizer.encoder.features(image))
    case.check("moments", tokenizer.encoder(image))
    mean, log_var = tokenizer.moments(image)
    case.check("mean", mean)
    case.check("logvar", log_var)
    case.check("std", (0.5 * log_var).exp())
    case.check("kl", divergence(mean, log_var).sum((1, 2, 3)))


def test_draw(case, tokenizer):
    """A draw of the latent, in the encoder's units and as the generator takes it."""
    sample = draw(*tokenizer.moments(case.ins["image"]), case.ins["posterior_noise"])
    case.check("sample", sample)
    case.check("mar_latents", tokenizer.units(sample))


def test_decoder(case, tokenizer):
    """The official decoder leaves its output unbounded, and so does ours before `decode` clamps it."""
    latent = tokenizer.encode(case.ins["image"]).latent
    case.check("image_from_mode", tokenizer.decoder(tokenizer.units.inverse(latent)))
    case.check("image_from_sample", tokenizer.decoder(case.outs["sample"]))
    case.check("mar_decode", tokenizer.decoder(tokenizer.units.inverse(case.ins["mar_tokens"])))


MUTATIONS = {
    "latent_scale=0.18215": "",
    "log_var_bounds=[0,20]": "",
    "net.pad=both": "",
    "net.eps=1e-4": "",
    "net.groups=16": "",
    "net.kernel=3": "size mismatch",
    "net.encoder_attention=[]": "Unexpected key",
    "net.decoder_attention=[2]": "Missing key",
    "net.middle_attention=false": "Unexpected key",
    "net.inner=8": "size mismatch",
}


def compare(case, other):
    """Enough to tell one option from another."""
    test_encoder(case, other)
    test_draw(case, other)


@pytest.mark.parametrize("option", MUTATIONS)
def test_each_option_matters(option):
    check_it_matters("mar_vae", option, compare, MUTATIONS[option])


def test_every_output_is_accounted_for(case):
    case.finish()
