"""From pictures to figures: the whole way, on real pictures; reconstruction, cost and time beside it."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torchvision.models import alexnet

from hybridgen.data.base import MemorySplit
from hybridgen.data.embedded import Embedded
from hybridgen.evaluation.cost import macs, macs_by_part, parameters
from hybridgen.evaluation.evaluate import check_metrics, evaluate_samples
from hybridgen.evaluation.features import InceptionFeatures
from hybridgen.evaluation.perceptual import Perceptual, why_not
from hybridgen.evaluation.protocol import comparable, sentence
from hybridgen.evaluation.psnr import psnr
from hybridgen.evaluation.reconstruction import evaluate_reconstruction
from hybridgen.evaluation.settings import Metrics
from hybridgen.evaluation.timing import seconds_per_sample
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError, UserErrors

DATA = Embedded()
GREY, COLOUR = ImageMedium(channels=1, size=28), ImageMedium()
SAID = {
    "data": "fashion28", "model": "ab12", "weights": "ema", "sampler": {"steps": 8}, "seeds": "0-599",
    "precision": "fp32", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def held_out():
    """Real pictures that stand for drawn ones: 600 of the test split, in its classes' proportions."""
    examples = DATA.split("test")
    return examples.x[:600], examples.labels[:600]


@pytest.fixture(scope="module")
def figures(held_out):
    return evaluate_samples(*held_out, DATA, Metrics(reference="train", samples=600), SAID)


@pytest.mark.slow
def test_real_pictures_score_as_real(figures):
    """Each figure is near its floor; every one has a protocol that makes a sentence."""
    value = {name: figure.value for name, figure in figures.items()}
    assert value["frechet"] < 3 * value["frechet_floor"] + 0.1
    assert value["frechet"] < 2 * value["frechet_bias"]
    assert value["accuracy"] > 0.87
    assert value["accuracy"] == pytest.approx(value["accuracy_real"], abs=0.08)
    assert value["precision"] > 0.7
    assert value["recall"] > 0.7
    assert value["near_copies"] < 0.05
    assert value["nearest"] == pytest.approx(value["nearest_real"], rel=0.1)
    assert set(figures) >= {"kid", "kid_floor", "frechet_infinity", "accuracy/Trouser", "precision_real", "recall_real"}
    for figure in figures.values():
        assert sentence(figure.protocol).endswith("fp32 on cpu.")
        assert figure.protocol["reference"] == "train"
        assert "FID" not in figure.protocol["metric"]


@pytest.mark.slow
def test_ruined_pictures_score_worse(figures, held_out):
    pixels, labels = held_out
    noise = torch.randint(0, 60, pixels.shape, generator=torch.Generator().manual_seed(0))
    settings = Metrics(reference="train", samples=600, which=("frechet", "kid", "accuracy"))
    ruined = evaluate_samples((pixels // 2 + noise).byte(), labels, DATA, settings, SAID)
    assert ruined["frechet"].interval[0] > figures["frechet"].interval[1]
    assert ruined["kid"].interval[0] > figures["kid"].interval[1]
    assert ruined["accuracy"].value < figures["accuracy"].value
    assert set(ruined) & {"recall", "nearest"} == set()
    assert comparable(ruined["frechet"].protocol, figures["frechet"].protocol) == []


def test_references_are_told_apart(held_out, figures):
    other = evaluate_samples(*held_out, DATA, Metrics(which=("kid",)), SAID)
    assert comparable(other["kid"].protocol, figures["kid"].protocol) == ["reference", "reference_count"]


def test_unknown_metrics_are_reported_together(held_out):
    with pytest.raises(UserErrors) as error:
        evaluate_samples(*held_out, DATA, Metrics(which=("frechett", "kid", "fid")), SAID)
    assert "unknown card 'frechett'. Did you mean 'frechet'?" in str(error.value)
    assert "unknown card 'fid'" in str(error.value)


def test_too_few_pictures(held_out):
    pixels, labels = (part[:50] for part in held_out)
    few = Metrics(which=("frechet", "kid"), samples=50)
    assert set(evaluate_samples(pixels, labels, DATA, few, SAID)) == {"kid", "kid_floor"}
    (note,) = check_metrics(DATA, few)
    assert "frechet is left out" in note
    assert "more than 96 samples; drawn: 50" in note
    assert evaluate_samples(pixels, labels, DATA, Metrics(which=("frechet_few",)), SAID)["frechet"].value > 0


def test_a_protocol_that_does_not_say_all(held_out):
    lacking = {name: value for name, value in SAID.items() if name != "weights"}
    with pytest.raises(ValueError, match="weights"):
        evaluate_samples(*held_out, DATA, Metrics(), lacking)


class Layers(nn.Module):
    """Stands for Inception's inside: sixteen means, and what comes in is checked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Means over blocks."""
        assert x.shape[1] == 3
        assert x.shape[2] == 299
        assert x.abs().max() <= 1.0
        return nn.functional.adaptive_avg_pool2d(x[:, :1], 4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Not called: clean-fid goes to the layers."""
        return self.layers(x)


@pytest.fixture
def inception(tmp_path):
    """A file in Inception's form."""
    file = tmp_path / "net.pt"
    torch.jit.script(Net()).save(str(file))
    return str(file)


class Few(Embedded):
    """Thirty pictures a split: clean-fid resizes one at a time."""

    def split(self, split):
        examples = super().split(split)
        return MemorySplit(examples.x[:30], label=examples.labels[:30])


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_inception_has_names_of_its_own(held_out, inception):
    pixels, labels = (part[:30] for part in held_out)
    settings = Metrics(which=("frechet_few", "kid", "accuracy"), inception=inception)
    figures = evaluate_samples(pixels, labels, Few(), settings, SAID)
    assert {"frechet", "fid", "fid_floor", "kid", "kid_inception", "kid_inception_floor"} <= set(figures)
    assert figures["fid"].protocol["metric"] == "FID"
    assert figures["fid"].protocol["feature"]["net"] == "Inception-v3"
    assert "Inception" not in str(figures["frechet"].protocol["feature"])
    assert "feature" in comparable(figures["fid"].protocol, figures["frechet"].protocol)


@pytest.mark.parametrize("content", [None, b"text"])
def test_no_inception(tmp_path, content):
    file = tmp_path / "net.pt"
    if content:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.inception: .*net\.pt"):
        InceptionFeatures(str(file))


def test_no_inception_and_no_network(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refused)
    with pytest.raises(UserError, match=r"download failed(.|\n)*metrics\.inception=PATH"):
        InceptionFeatures("download")


def test_psnr():
    """An error of one grey level everywhere is 20 log10 255; the mean is over the set, not over pictures."""
    x = torch.full((4, 1, 2, 2), 100, dtype=torch.uint8)
    assert psnr(x, x + 1, 255) == pytest.approx(20 * math.log10(255))
    assert psnr(x, x, 255) == math.inf
    one = x.clone()
    one[0] += 2
    assert psnr(x, one, 255) == pytest.approx(20 * math.log10(255))


RECONSTRUCTED = {
    "data": "fashion28", "model": "ab12", "weights": "ema", "precision": "fp32", "device": "cpu", "split": "test",
    "data_hash": "0f0f",
}  # fmt: skip


def test_reconstruction(held_out):
    x = held_out[0][:20].clamp(0, 200)
    found = evaluate_reconstruction(x, x + 10, x + 1, GREY, RECONSTRUCTED, measured={"residual_share": 0.27})
    assert found["psnr_residual"].value - found["psnr_discrete"].value == pytest.approx(20)
    assert found["residual_share"].value == 0.27
    assert found["residual_share"].protocol["count"] == 20
    assert "psnr_discrete" not in evaluate_reconstruction(x, None, x + 1, GREY, RECONSTRUCTED)
    with pytest.raises(ValueError, match="weights"):
        evaluate_reconstruction(x, None, x, GREY, {k: v for k, v in RECONSTRUCTED.items() if k != "weights"})


def test_why_there_is_no_lpips():
    assert "needs images of 32 pixels, these have 28" in why_not("alex.safetensors", (28, 28))
    assert "metrics.lpips=FILE" in why_not(None, (64, 64))
    assert "images only" in why_not("alex.safetensors", (64,))
    assert why_not("alex.safetensors", (32, 32)) == ""


def by_definition(weights, a, b):
    """LPIPS from the file's features and heads: squared differences of unit feature vectors, weighed and averaged."""
    layers = alexnet(weights=None).features.eval()
    layers.load_state_dict({k.removeprefix("features."): v.float() for k, v in weights.items() if k[0] == "f"})
    shift, scale = (torch.tensor(c).view(1, 3, 1, 1) for c in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))

    def seen(pixels):
        x = (pixels.float() / 127.5 - 1 - shift) / scale
        for number, layer in enumerate(layers[:12]):
            x = layer(x)
            if number in (1, 4, 7, 9, 11):
                yield nn.functional.normalize(x, dim=1, eps=1e-10)

    pairs = enumerate(zip(seen(a), seen(b), strict=True))
    return sum(float(((p - q).square() * weights[f"lin{k}"]).sum(1).mean()) for k, (p, q) in pairs)


def test_lpips(shared):
    """As defined; nothing for equal pictures, more for worse ones; nothing to train is left in it."""
    file = shared / "data/pretrained/lpips_alexnet/lpips_alex_fp16.safetensors"
    state = torch.get_rng_state()
    measure = Perceptual(str(file))
    assert torch.equal(torch.get_rng_state(), state)
    x = Embedded(name="emoji32").split("test").x[:8]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    near, far = ((x + std * noise).round().clamp(0, 255).byte() for std in (5, 40))
    assert measure.distance(x, x, COLOUR) == 0
    assert 0 < measure.distance(x, near, COLOUR) < 0.5 * measure.distance(x, far, COLOUR)
    with torch.inference_mode():
        assert measure.distance(x, far, COLOUR) == pytest.approx(by_definition(load_file(file), x, far), rel=1e-4)
    assert not any(p.requires_grad for p in measure.net.parameters())
    assert measure.distance(x[:, :1], near[:, :1], COLOUR) > 0
    found = evaluate_reconstruction(x, far, near, COLOUR, RECONSTRUCTED, perceptual=measure)
    assert found["lpips_residual"].value < found["lpips_discrete"].value


class Attending(nn.Module):
    """One projection and one attention, to be counted by hand."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(16, 32)

    def forward(self, x):
        """(B, n, 16) -> (B, n, 32)."""
        y = self.project(x)
        return scaled_dot_product_attention(y, y, y)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_macs_by_hand(device):
    """2 x 10 tokens: 16 * 32 each to project, and 10 * 32 twice to attend, which the counter misses on the CPU."""
    net = Attending().to(device)
    x = torch.zeros(2, 10, 16, device=device)
    projection, attention = 20 * 16 * 32, 2 * 20 * 10 * 32
    assert macs(lambda: net(x)) == projection + attention
    assert macs_by_part(net, lambda: net(x)) == {"project": projection, "total": projection + attention}


def test_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    assert parameters(net) == {"0": 16, "2": 8, "total": 24}
    net[2].weight.requires_grad_(False)
    net.scale = nn.Parameter(torch.ones(5))
    assert parameters(net) == {"0": 16, "2": 8, "own": 5, "total": 29}


def test_seconds_per_sample():
    calls = []
    said = {"model": "ab12", "sampler": {"steps": 1}, "precision": "fp32", "device": "cpu"}
    found = seconds_per_sample(calls.append, 16, said, repeats=3, warm_up=2)
    assert calls == [16] * 5
    assert found.interval[0] <= found.value <= found.interval[1] < 0.1
    assert found.protocol["batch"] == 16
