"""`hybridgen sample`: the same seed gives the same file, and a given picture is kept where it should be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import only

from hybridgen.cli import main
from hybridgen.generate.trained import load
from hybridgen.generate.write import read_given
from hybridgen.media.png import read_provenance
from hybridgen.runs.weights import model_hash


@pytest.fixture
def sample(tiny_runs, tmp_path, monkeypatch, capsys):
    """Draws with the tiny model; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, model="tiny"):
        code = main(["sample", model, "--runs", str(tiny_runs), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def trained(tiny_runs):
    return load(only(tiny_runs / "tiny"))


@pytest.fixture
def masked(tmp_path):
    """A picture, and a mask that keeps its upper half."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8)).save(tmp_path / "given.png")
    white = np.zeros((28, 28), np.uint8)
    white[:16] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    return tmp_path / "given.png", tmp_path / "mask.png"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).copy()


def test_the_same_seed_gives_the_same_bytes(sample, tmp_path):
    code, out, _ = sample("--labels", "3,5", "--seed", 4, "--out", "first")
    assert code == 0
    assert out.split() == ["first/seed_000004.png", "first/seed_000005.png", "first/grid.png"]
    sample("--labels", "3,5", "--seed", 4, "--out", "second")
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()
    sample("--labels", "5", "--seed", 5, "--out", "third")
    assert (pixels("third/seed_000005.png") == pixels("first/seed_000005.png")).all(), "on its own as in company"
    assert (pixels("first/seed_000004.png") != pixels("first/seed_000005.png")).any()


def test_classes_by_name_and_number(sample):
    _, out, _ = sample("--labels", "Dress, 3,Ankle boot", "--json")
    files = json.loads(out)
    said = [read_provenance(Path(file)) for file in files[:3]]
    assert [each["label"] for each in said] == [3, 3, 9]
    assert [each["class"] for each in said] == ["Dress", "Dress", "Ankle boot"]


def test_a_picture_says_what_made_it(sample, tiny_runs):
    sample("sampler.head_steps=1", "--labels", "7", "--seed", 11)
    said = read_provenance(Path("samples/seed_000011.png"))
    assert said["model"] == model_hash(only(tiny_runs / "tiny") / "model.safetensors")
    assert (said["seed"], said["label"], said["class"]) == (11, 7, "Sneaker")
    assert said["sampler"]["head_steps"] == 1
    assert read_provenance(Path("samples/grid.png"))["seeds"] == [11, 11]


def test_all_classes_in_turn(sample):
    _, out, _ = sample("--count", "12", "--json")
    assert [read_provenance(Path(file))["label"] for file in json.loads(out)[:-1]] == [*range(10), 0, 1]
    _, out, _ = sample("--labels", "2,4", "--count", "3", "--json")
    assert [read_provenance(Path(file))["label"] for file in json.loads(out)[:-1]] == [2, 4, 2]


@pytest.mark.slow
def test_a_file_serves_as_well_as_a_run(sample, tiny_runs):
    file = only(tiny_runs / "tiny") / "model.safetensors"
    assert sample("--count", "1", "--out", "a", model=str(file))[0] == 0
    assert sample("--count", "1", "--out", "b")[0] == 0
    assert (pixels("a/seed_000000.png") == pixels("b/seed_000000.png")).all()


def test_a_given_picture_is_kept(sample, masked):
    """The decoder sees the same latent where the mask is white, whatever is drawn below."""
    given, mask = masked
    code, *_ = sample("--given", given, "--mask", mask, "--labels", "1,2")
    assert code == 0
    first, second = pixels("samples/seed_000000.png"), pixels("samples/seed_000001.png")
    assert (first[:4] == second[:4]).all(), "far from the border, where the decoder mixes"
    assert (first != second).any()
    assert read_provenance(Path("samples/seed_000000.png"))["given"] == str(given)


def test_the_codes_of_the_kept_region(trained, masked):
    """Where the mask is white all over, the codes and the latent are those of the given picture, to the bit."""
    start = read_given(trained, *masked, 3)
    kept = start.known[0, 0].flatten().bool()
    assert kept.reshape(7, 7).sum(1).tolist() == [7, 7, 7, 7, 0, 0, 0], "16 of 28 rows are four cells"
    record = []
    condition = trained.model.conditioner({"label": torch.tensor([0, 1, 2])}, None)
    trained.model.sample(condition, [0, 1, 2], trained.sampler, start, record)
    canvas = record[-1].canvas
    assert canvas.codes[-1][:, kept].equal(start.tokens.codes[-1][:, kept])
    assert not canvas.codes[-1][:, ~kept].equal(start.tokens.codes[-1][:, ~kept])
    assert (canvas.latent - start.tokens.latent).abs()[:, :, :4].max() < 1e-5
    assert (canvas.latent - start.tokens.latent).abs()[:, :, 4:].max() > 1e-2


def test_given_and_mask_need_each_other(refused, masked):
    given, mask = masked
    assert "--given needs --mask" in refused("--given", given)
    assert "--mask needs --given" in refused("--mask", mask)


def test_a_mask_that_keeps_nothing(refused, masked, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "black.png")
    said = refused("--given", masked[0], "--mask", tmp_path / "black.png")
    assert "black.png: keeps nothing: no cell of the image's 7x7 is white all over" in said


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--labels", "Dres"], "--labels: unknown class 'Dres'. Did you mean 'Dress'?"),
        (["--labels", "10"], "unknown class '10'"),
        (["--labels", "²"], "unknown class '²'"),
        (["--labels", ""], "unknown class ''"),
        (["--count", "0"], "count: 0 samples"),
        (["--count", "three"], "invalid int value: 'three'"),
        (["sampler.head_stesp=3"], "override sampler.head_stesp=3: unknown option 'head_stesp'"),
        (["model.backbone.depth=3"], "unknown key 'model.backbone.depth'"),
        (["--given", "nowhere.png", "--mask", "nowhere.png"], "nowhere.png: cannot be read"),
    ],
)
def test_wrong_arguments(refused, arguments, hint):
    assert hint in refused(*arguments)


def test_wrong_models(refused, tmp_path):
    assert "unknown run 'nowhere'.\n  known: tiny" in refused(model="nowhere")
    assert "nowhere.safetensors: there is no such file" in refused(model="nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    assert "text.safetensors: not a whole safetensors file" in refused(model="text.safetensors")


def test_a_file_where_the_folder_should_go(refused, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "--out: taken is a file; name a folder" in refused("--out", "taken")


def test_a_run_without_weights(refused, tiny_runs, tmp_path):
    run = tmp_path / "runs/tiny/20250101-000000"
    run.mkdir(parents=True)
    (run / "run.json").write_text((only(tiny_runs / "tiny") / "run.json").read_text())
    assert f"this run has no weights yet; finish it with `hybridgen resume {run}`" in refused(model=str(run))
