"""Looks at held-out data: the same figure every time, whatever was drawn before."""

import pytest
import torch
from tiny_run import tiny

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.data.base import MemorySplit
from hybridgen.evaluation.psnr import psnr
from hybridgen.media.image import ImageMedium
from hybridgen.training.held_out import generator_losses, tokenizer_figures
from hybridgen.training.tokens import MemoryTokens, Views

CPU, GREY = torch.device("cpu"), ImageMedium(channels=1, size=28)


@pytest.fixture(scope="module")
def examples():
    whole = assemble_data(tiny()).split("valid")
    return MemorySplit(whole.x[:20], label=whole.labels[:20])


@pytest.fixture(scope="module")
def model():
    composed = tiny()
    torch.manual_seed(0)
    return assemble_model(composed, assemble_data(composed).spec).eval()


def test_known_psnr():
    zero = torch.zeros(1, 4)
    assert psnr(zero, zero + 0.2, 2.0) == pytest.approx(20.0), "a tenth of the range: 20 dB"
    assert psnr(zero, zero, 2.0) == float("inf")


def test_generator_losses_are_the_same_every_time(model, examples):
    source, before = MemoryTokens(model.tokenizer, Views(examples, GREY), CPU), torch.get_rng_state()
    first = generator_losses(model, source, CPU)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(123)
    assert generator_losses(model, source, CPU) == first
    assert {"held_out/code", "held_out/residual", "held_out/code_scale0"} <= first.keys()


def test_the_mean_counts_pictures_not_batches(model, examples):
    """Cross-entropies use no noise, so 20 pictures in batches of 12 and 8 have the mean of all."""
    source = MemoryTokens(model.tokenizer, Views(examples, GREY), CPU)
    whole, cut = generator_losses(model, source, CPU, batch=20), generator_losses(model, source, CPU, batch=12)
    assert cut["held_out/code"] == pytest.approx(whole["held_out/code"], rel=1e-5)


def test_tokenizer_figures(model, examples):
    x = GREY.restore(examples.x)
    found = tokenizer_figures(model.tokenizer, x, batch=7)
    assert found == tokenizer_figures(model.tokenizer, x, batch=7)
    assert found["held_out/psnr_latent"] == pytest.approx(tokenizer_figures(model.tokenizer, x)["held_out/psnr_latent"])
    assert 1 <= found["held_out/perplexity_scale2"] <= 8


def test_the_cache_holds_what_the_tokenizer_says(model, examples):
    """Mirrored pictures follow the others, in the same order, with the same labels."""
    source = MemoryTokens(model.tokenizer, Views(examples, GREY, (-1,)), CPU)
    assert len(source) == 40
    with torch.no_grad():
        tokens = model.tokenizer.encode(GREY.restore(examples.x).flip(-1))
    found = source.take(torch.arange(40))
    torch.testing.assert_close(found["latent"][20:], tokens.latent)
    assert all(found[f"codes{s}"][20:].long().equal(codes) for s, codes in enumerate(tokens.codes))
    assert found["label"].tolist() == [*examples.labels.tolist()] * 2
    assert found["codes0"].dtype == torch.int16
