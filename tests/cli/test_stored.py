"""What an earlier version wrote is still of use: loaded, resumed, compared, replayed, its study gone on with."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import hybridgen
from hybridgen.cli import main

STORED = Path(__file__).parents[1] / "stored" / "version_0_1_0.tar.xz"
FINISHED, KILLED = "runs/tiny/20261130-203838", "runs/tiny/20261130-203853"
NEAR = 1e-3  # another processor rounds in other places


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The stored folder, unpacked, as the working folder."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(file):
    return np.asarray(Image.open(file)).astype(int)


def test_loads_and_replays(stored, capsys):
    assert hybridgen.load(FINISHED).sample([3], seed=0).shape == (1, 1, 28, 28)
    assert main(["replay", "drawn/seed_000000.png"]) == 0
    assert abs(pixels("drawn/seed_000000.png") - pixels("drawn/seed_000000_again.png")).max() <= 1


@pytest.mark.slow
def test_resumes_with_its_own_tokenizer(stored):
    assert main(["resume", KILLED]) == 0
    ours, theirs = (load_file(stored / f) for f in (f"{KILLED}/model.safetensors", "unbroken.safetensors"))
    assert ours.keys() == theirs.keys()
    assert max((ours[name].float() - theirs[name].float()).abs().max().item() for name in ours) < NEAR
    assert len(list((stored / "runs" / "tokenizers").iterdir())) == 2, "no tokenizer was trained anew"


def test_compares(stored, capsys):
    trial = "runs/swept/sweeps/swept-3f789593/trials/0000"
    assert main(["compare", FINISHED, trial, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert all(cell is not None for cell in figures["accuracy"])


@pytest.mark.slow
def test_goes_on_with_its_study(stored, capsys):
    assert main(["sweep", "swept.yaml"]) == 0
    assert "4 of 4 trials done" in capsys.readouterr().out
    assert len(list((stored / "runs" / "generators").iterdir())) == 1, "no generator was trained anew"
    assert len(list((stored / "runs" / "swept" / "sweeps").iterdir())) == 1
