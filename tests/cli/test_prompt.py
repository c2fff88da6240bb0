"""`hybridgen sample --prompt`: a tiny Qwen2 and a tiny model that reads its vectors, through the real command."""

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_published import write_encoder, write_text_run
from tiny_run import only

import hybridgen
from hybridgen.cli import main
from hybridgen.conditioners.language_model import LanguageModel
from hybridgen.media.png import read_provenance
from hybridgen.system.errors import UserError

LONG = " ".join(f"word{i}" for i in range(230))  # 1,729 bytes, and as many tokens of the tiny encoder
PUBLISHED = "mit-han-lab/Qwen2-VL-1.5B-Instruct"
QUICK = ["sampler.head_steps=0", "sampler.guidance=1"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("transformers")
    return str(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def run(tmp_path_factory, encoder):
    """A run that remembers its encoder."""
    return str(write_text_run(tmp_path_factory.mktemp("text") / "run", f"model.conditioner.encoder={encoder}"))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A run whose encoder is the one that its experiment names, which is not on this machine."""
    return write_text_run(tmp_path_factory.mktemp("published") / "run")


@pytest.fixture
def sample(run, tmp_path, monkeypatch, capsys):
    """Draws with a text model; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def draw(*arguments, model=run):
        code = main(["sample", str(model), *map(str, arguments)])
        return code, *capsys.readouterr()

    return draw


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).copy()


def said(name, folder="samples"):
    return read_provenance(Path(folder, name))


def test_a_prompt_becomes_a_picture(sample, run, encoder):
    """With all of the published sampler's settings; the prompt tells, and stands in the picture; from Python too."""
    code, out, _ = sample("--prompt", "a fox", "--prompt", "a red house, by night", "--seed", 3)
    assert code == 0
    assert out.split() == ["samples/seed_000003.png", "samples/seed_000004.png", "samples/grid.png"]
    first, second = said("seed_000003.png"), said("seed_000004.png")
    assert (first["prompt"], second["prompt"]) == ("a fox", "a red house, by night")
    assert (first["text_encoder"], first["system_prompt"]) == (encoder, "")
    assert "label" not in first
    model = hybridgen.load(run)
    drawn = model.sample(prompts=["a fox", "an ox"], seeds=[3, 3])
    fox, ox = model.medium.store(drawn).permute(0, 2, 3, 1).numpy()
    assert (fox == pixels("samples/seed_000003.png")).all()
    assert (fox != ox).any()


def test_prompts_of_a_file_in_turn(sample, tmp_path):
    (tmp_path / "prompts.txt").write_text("a fox\n\n  an owl \n", encoding="utf-8")
    _, out, _ = sample(*QUICK, "--prompt", "a cat", "--prompts", "prompts.txt", "--count", 4, "--json")
    assert [read_provenance(Path(file))["prompt"] for file in json.loads(out)[:-1]] == [
        "a cat", "a fox", "an owl", "a cat",
    ]  # fmt: skip


@pytest.mark.filterwarnings("always:prompt")
def test_a_long_prompt_is_cut_and_told(sample):
    """The model reads 300 tokens; the picture is that of the first 300."""
    assert len(LONG.split()) > 200
    code, _, err = sample(*QUICK, "--prompt", LONG)
    assert code == 0
    over = len(LONG) - 300
    assert f"warning: prompt '{LONG[:40]}…' has {len(LONG)} tokens; the last {over} are cut" in err
    assert "warning" not in sample(*QUICK, "--prompt", LONG[:300], "--out", "cut")[2]
    assert (pixels("samples/seed_000000.png") == pixels("cut/seed_000000.png")).all()
    assert said("seed_000000.png")["prompt"] == LONG


@pytest.mark.slow
def test_a_system_prompt_from_a_text_or_a_file(sample, tmp_path):
    (tmp_path / "system.txt").write_text("Draw finely:\n", encoding="utf-8")
    for out, given in (("a", "Draw finely:"), ("b", "system.txt")):
        assert sample(*QUICK, "--prompt", "a fox", "--system-prompt", given, "--out", out)[0] == 0
        assert said("seed_000000.png", out)["system_prompt"] == "Draw finely:"
    sample(*QUICK, "--prompt", "a fox", "--out", "c")
    assert (pixels("a/seed_000000.png") == pixels("b/seed_000000.png")).all()
    assert (pixels("a/seed_000000.png") != pixels("c/seed_000000.png")).any()


def test_a_picture_is_drawn_again(sample, run, capsys):
    sample(*QUICK, "--prompt", "a fox", "--seed", 5, "--system-prompt", "Draw finely:")
    assert main(["replay", "samples/seed_000005.png", "--model", run]) == 0
    assert "the same, value for value" in capsys.readouterr().out


def test_an_encoder_of_the_command_line(sample, encoder, published):
    assert sample(*QUICK, "--prompt", "a fox", "--text-encoder", encoder, model=published)[0] == 0
    assert said("seed_000000.png")["text_encoder"] == encoder


@pytest.fixture
def opened(monkeypatch):
    """Hosts that were looked up or connected to."""
    hosts = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: hosts.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host, **_: hosts.append(host))
    return hosts


def test_nothing_is_fetched_unasked(refused, sample, published, opened):
    """The published encoder is not here: that is told, and no line is opened; nor is one for a folder."""
    err = refused("--prompt", "a fox", model=published)
    assert f"text encoder {PUBLISHED}: not on this machine, and nothing is fetched unasked" in err
    assert f"--text-encoder {PUBLISHED} fetches it" in err
    assert sample(*QUICK, "--prompt", "a fox")[0] == 0
    assert opened == []


@pytest.mark.parametrize("named", [False, True])
def test_an_encoder_of_the_hub(sample, encoder, published, monkeypatch, named):
    """A name on the command line is asking for it; what an earlier command has fetched needs no asking."""
    asked = []

    def download(name, allow_patterns, local_files_only):
        asked.append((name, local_files_only))
        assert not {"*", "*.bin", "*.py", "*.pt"} & {*allow_patterns}, "no pickle and no code is fetched"
        return encoder

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    words = ["--text-encoder", PUBLISHED] if named else []
    assert sample(*QUICK, "--prompt", "a fox", *words, model=published)[0] == 0
    assert asked == [(PUBLISHED, not named)]
    assert said("seed_000000.png")["text_encoder"] == PUBLISHED


def test_a_download_that_fails(refused, published, monkeypatch):
    def download(*_, **__):
        raise TimeoutError("the hub does not answer")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    err = refused("--prompt", "a fox", "--text-encoder", "me/encoder", model=published)
    assert "text encoder me/encoder: no such folder, and not fetched (the hub does not answer)" in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "a prompt is needed: this model reads text\n  --prompt TEXT"),
        (["--labels", "3"], "labels: it knows no classes: this model reads text"),
        (["--labels", "3", "--prompt", "a fox"], "labels and prompts: a sample is asked for by one of them"),
        (["--prompt", "a fox", "--prompt", " "], "prompts: prompt 1 is empty"),
        (["--prompt", "a fox", "--count", "0"], "count: 0 samples of 1 prompts"),
        (["--prompts", "nowhere.txt"], "--prompts nowhere.txt: cannot be read"),
        (["--text-encoder", "somewhere"], "need --prompt TEXT or --prompts FILE"),
        (["--prompt", "a fox", "--text-encoder", "."], "text encoder .: no config.json in this folder"),
    ],
)
def test_wrong_arguments(refused, arguments, hint):
    assert hint in refused(*arguments)


def test_an_empty_file_of_prompts(refused, tmp_path):
    (tmp_path / "empty.txt").write_text("\n")
    assert "--prompts empty.txt: no prompt in it" in refused("--prompts", "empty.txt")


def test_a_model_of_classes_reads_no_text(refused, tiny_runs):
    assert "prompts: this model reads no text, but classes" in refused(
        "--prompt", "a fox", model=only(tiny_runs / "tiny")
    )


def test_an_encoder_of_another_width(refused, tmp_path):
    write_encoder(tmp_path / "wide", features=32)
    err = refused("--prompt", "a fox", "--text-encoder", "wide")
    assert "text encoder wide: its vectors have 32 numbers, and the model was trained on 24" in err


def test_vectors_of_another_length(run, encoder):
    model = hybridgen.load(run)
    model.text_encoder = LanguageModel.load(encoder, length=7)
    with pytest.raises(UserError, match="gives 7 vectors of 24 numbers a prompt, and the model was trained on 300"):
        model.sample(prompts=["a fox"])


def test_a_model_that_names_no_encoder(refused, tmp_path_factory):
    nameless = write_text_run(tmp_path_factory.mktemp("nameless") / "run", "model.conditioner.encoder=''")
    assert "does not say which text encoder it was trained with" in refused("--prompt", "a fox", model=nameless)


def test_without_the_library(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "prompts need the extra 'text': pip install 'hybridgen[text]'" in refused("--prompt", "a fox")


@pytest.mark.slow
def test_broken_encoders(refused, tmp_path):
    """Weights that lack something are not filled up with random ones; pickles are not read; damage is told."""
    folder = write_encoder(tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    asked = ["--prompt", "a fox", "--text-encoder", folder]
    save_file({k: v for k, v in weights.items() if k != "norm.weight"}, folder / "model.safetensors", {"format": "pt"})
    assert "its files lack norm.weight (1 in all)" in refused(*asked)
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert f"text encoder {folder}: cannot be loaded" in refused(*asked)
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert f"text encoder {folder}: cannot be loaded" in refused(*asked)
    (folder / "config.json").write_text('{"model_type": "t5"}')
    assert "t5 is an encoder with a decoder" in refused(*asked)
    (folder / "config.json").write_text('{"model_type": "unheard-of"}')
    assert f"text encoder {folder}: cannot be loaded" in refused(*asked)
