"""`hybridgen sample --prompt`: a tiny Qwen2 and a tiny model that reads its vectors, through the real command."""

import socket
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_text import write_encoder, write_run

import hybridgen
from hybridgen.cli import main
from hybridgen.errors import UserError
from hybridgen.evaluation.drawing import rounded
from hybridgen.provenance import read_provenance

LONG = " ".join(f"word{i}" for i in range(230))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("transformers")
    return str(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def run(tmp_path_factory, encoder):
    """A run that remembers its encoder."""
    return str(write_run(tmp_path_factory.mktemp("text") / "run", f"model.conditioner.encoder={encoder}"))


@pytest.fixture
def sample(run, tmp_path, monkeypatch, capsys):
    """Draws with a text model; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def draw(*arguments, model=run):
        code = main(["sample", str(model), *map(str, arguments)])
        return code, *capsys.readouterr()

    return draw


@pytest.fixture
def refused(sample, tmp_path):
    """What was complained; nothing was written."""

    def draw(*arguments, **model):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = sample(*arguments, **model)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return draw


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).copy()


def test_a_prompt_becomes_a_picture(sample, run, encoder):
    code, out, _ = sample("--prompt", "a fox", "--prompt", "a red house, by night", "--seed", 3)
    assert code == 0
    assert out.split() == ["samples/seed_000003.png", "samples/seed_000004.png", "samples/grid.png"]
    said = [read_provenance(file) for file in map(hybridgen_path, out.split()[:2])]
    assert [one["prompt"] for one in said] == ["a fox", "a red house, by night"]
    assert [one["text_encoder"] for one in said] == [encoder] * 2
    assert [one["system_prompt"] for one in said] == [""] * 2
    assert not any("label" in one for one in said)
    sample("--prompt", "an ox", "--seed", 3, "--out", "other")
    assert (pixels("other/seed_000003.png") != pixels("samples/seed_000003.png")).any(), "the prompt tells"
    drawn = hybridgen.load(run).sample(prompts=["a fox"], seed=3)
    assert (rounded(drawn)[0].permute(1, 2, 0).numpy() == pixels("samples/seed_000003.png")).all(), "from Python too"


def hybridgen_path(name):
    from pathlib import Path

    return Path(name)
