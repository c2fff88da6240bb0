"""Perceptual terms of the reconstruction's loss: spectrograms for sound, LPIPS for images."""

import math

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, vgg16

from hybridgen.nn.draws import Draws, keyed
from hybridgen.nn.stft import stft_distance
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.continuous import ContinuousTokenizer
from hybridgen.tokenizers.perceptual import Lpips, Stft
from hybridgen.types import DataSpec

SPECTRA = ((64, 48, 12), (128, 100, 25), (32, 32, 8))
IMAGES, SOUND = DataSpec(3, (32, 32)), DataSpec(1, (512,))


def tone(hertz=40.0, length=512):
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(length) / length).view(1, 1, length)


def test_spectra_of_equal_sounds_are_equal():
    x = tone().expand(2, 2, -1)
    assert stft_distance(x, x, SPECTRA) == 0


def test_worse_sounds_are_further():
    x, noise = tone(), torch.randn(1, 1, 512, generator=keyed("noise"))
    off = [stft_distance(x + std * noise, x, SPECTRA).item() for std in (0.01, 0.1, 1.0)]
    assert 0 < off[0] < off[1] < off[2]
    assert stft_distance(tone(41.0), x, SPECTRA) < stft_distance(tone(80.0), x, SPECTRA)


def test_a_later_phase_is_no_error_of_the_spectrum():
    x = tone()
    assert stft_distance(x.roll(5, -1), x, SPECTRA) < 0.2 * stft_distance(tone(60.0), x, SPECTRA)


def test_spectra_by_definition():
    """Equations 5 and 6, from numpy's transform of the frames."""
    x, given = tone(), tone(44.0)
    fft, length, hop = 64, 64, 16
    padded = [torch.nn.functional.pad(y, (32, 32), mode="reflect")[0, 0] for y in (x, given)]
    window = torch.hann_window(length)
    size, other = (torch.fft.rfft(y.unfold(0, fft, hop) * window).abs().clamp(min=1e-7**0.5) for y in padded)
    expected = (size - other).norm() / size.norm() + (size.log() - other.log()).abs().mean()
    assert stft_distance(given, x, ((fft, length, hop),)).item() == pytest.approx(expected.item(), rel=1e-4)


def test_silence_is_finite():
    given = torch.full((1, 1, 512), 1e-3).requires_grad_()
    loss = stft_distance(given, torch.zeros(1, 1, 512), SPECTRA)
    loss.backward()
    assert loss.isfinite()
    assert given.grad.isfinite().all()


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (lambda: Stft(ffts=(64,)), SOUND, "as many of each"),
        (lambda: Stft(ffts=(64,), windows=(65,), hops=(8,)), SOUND, "none is longer"),
        (lambda: Stft(), SOUND, "2048 is too large for sound of 512 samples"),
        (lambda: Stft(), IMAGES, "one dimension"),
        (lambda: Lpips(file="x"), SOUND, "images of 1 or 3 channels"),
        (lambda: Lpips(file="x"), DataSpec(2, (32, 32)), "images of 1 or 3 channels, not at 2 x"),
        (lambda: Lpips(file="x", net="alex"), DataSpec(3, (28, 28)), "needs images of 32 pixels"),
    ],
)
def test_data_that_a_term_does_not_serve(make, data, message):
    with pytest.raises(UserError, match=message):
        make().measure(data)


def weights(folder, net):
    """A file of random convolutions by torchvision's names."""
    torch.manual_seed(0)
    model = {"alex": alexnet, "vgg": vgg16}[net](weights=None).features
    torch.save({f"features.{name}": value for name, value in model.state_dict().items()}, folder / f"{net}.pth")
    return str(folder / f"{net}.pth")


@pytest.mark.slow
@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_frozen_and_saved_nowhere(tmp_path, net):
    """Equal images are at distance 0; the gradient reaches the image and the tokenizer, never the network."""
    file = weights(tmp_path, net)
    plain, judged = (
        ContinuousTokenizer(IMAGES, channels=4, perceptual=term) for term in (None, Lpips(file=file, net=net))
    )
    x = torch.rand(2, 3, 32, 32, generator=keyed("x")) * 2 - 1
    losses = judged.loss(x, Draws("law"))
    losses["loss"].backward()
    assert losses["lpips"] > 0
    assert judged.state_dict().keys() == plain.state_dict().keys()
    assert [n for n, _ in judged.named_modules()] == [n for n, _ in plain.named_modules()]
    network = judged.perceptual.net
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert not network.training
    assert all(p.grad is not None for p in judged.decoder.parameters())
    assert judged.perceptual(x, x) == 0
    near, far = (x + std * torch.randn(x.shape, generator=keyed("n")) for std in (0.05, 0.5))
    assert judged.perceptual(near, x) < judged.perceptual(far, x)
    assert judged.perceptual(near[:, :1], x[:, :1]) > 0


def test_lpips_is_added_with_its_weight(monkeypatch):
    """The loss is the sum of its terms; a stand-in for the network measures squares."""
    monkeypatch.setattr("hybridgen.tokenizers.perceptual.lpips_network", lambda *_: Squares())
    x = torch.rand(2, 3, 32, 32, generator=keyed("x")) * 2 - 1
    tokenizer = ContinuousTokenizer(IMAGES, channels=4, l2=0.0, l1=0.7, perceptual=Lpips(file="x", weight=0.5))
    found = tokenizer.loss(x, Draws("law"))
    expected = 0.7 * found["l1"] + 0.5 * found["lpips"] + 1e-4 * found["kl"]
    torch.testing.assert_close(found["loss"], expected)
    torch.testing.assert_close(found["lpips"], found["mse"])


class Squares(nn.Module):
    def forward(self, a, b):
        return (a - b).square().mean((1, 2, 3), keepdim=True)


def test_no_weights_are_needed_to_use_a_trained_tokenizer():
    tokenizer = ContinuousTokenizer(IMAGES, channels=4, perceptual=Lpips(file="nowhere.pth"))
    x = torch.zeros(1, 3, 32, 32)
    assert tokenizer.decode(tokenizer.encode(x).latent).shape == x.shape
    with pytest.raises(UserError, match=r"perceptual.file: nowhere.pth: cannot be read"):
        tokenizer.loss(x, Draws("law"))
