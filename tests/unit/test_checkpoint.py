"""One file is enough to sample; a file that is damaged or another's is one clear error, and nothing is executed."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_run import only

import hybridgen
from hybridgen.generate.trained import load
from hybridgen.runs.weights import FORMAT, read_about, read_weights, save
from hybridgen.system.errors import UserError

BROKEN = {
    "1_truncated.safetensors": "not a whole safetensors file",
    "2_wrong_family.safetensors": "carry no hybridgen config; files of other projects need an importer",
    "3_missing_key.safetensors": "carry no hybridgen config",
    "4_wrong_shape.safetensors": "carry no hybridgen config",
    "5_executes_on_load.pt": "not a whole safetensors file",
}


@pytest.fixture(scope="module")
def file(tiny_runs):
    return only(tiny_runs / "tiny") / "model.safetensors"


@pytest.fixture(scope="module")
def model(file):
    return load(file)


@pytest.fixture
def changed(file, tmp_path):
    """Writes the file again with other tensors or another text about itself."""

    def write(tensors=lambda state: None, about=lambda text: text):
        state = load_file(file)
        with safe_open(file, framework="pt") as whole:
            metadata = dict(whole.metadata())
        tensors(state)
        metadata["hybridgen"] = about(metadata["hybridgen"])
        save_file(state, tmp_path / "changed.safetensors", metadata=metadata)
        return tmp_path / "changed.safetensors"

    return write


def refused(path):
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_the_promise_of_the_readme(file):
    trained = hybridgen.load(str(file))
    images = trained.sample(labels=[3, 5], seed=0, head_steps=8)
    assert images.shape == (2, 1, 28, 28)
    assert images.abs().max() <= 1
    assert hybridgen.load(file.parent).sample(labels=[3, 5], seed=0, head_steps=8).equal(images)


def test_weights_and_words_go_round(tmp_path):
    net, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    save(tmp_path / "net.safetensors", net, {"kind": "net", "config": {"a": [1, None]}})
    assert read_weights(tmp_path / "net.safetensors", other) == []
    assert other.weight.equal(net.weight)
    assert read_about(tmp_path / "net.safetensors") == {"format": FORMAT, "kind": "net", "config": {"a": [1, None]}}


def test_a_run_without_weights(tmp_path):
    assert "there is no such file" in refused(tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", BROKEN)
def test_files_of_others(shared, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert BROKEN[name] in refused(shared / "refs/broken" / name)
    assert list(tmp_path.iterdir()) == [], "nothing was executed or written"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.99])
def test_truncated(file, tmp_path, share):
    content = file.read_bytes()
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(content[: int(share * len(content))])
    assert "not a whole safetensors file" in refused(cut)


def test_missing_and_surplus_and_misshapen(changed):
    def spoil(state):
        del state["backbone.inp.weight"]
        state["backbone.extra"] = torch.zeros(1)
        state["join.gain"] = torch.zeros(3)
        state["residual_head.net.out.bias"] = torch.zeros(5)

    said = refused(changed(spoil))
    assert "\n  missing: backbone.inp.weight\n" in said
    assert "backbone.extra" in said
    assert "residual_head.net.out.bias: expected (4,), found (5,)" in said


def test_a_long_list_is_cut(changed):
    assert " more" in refused(changed(lambda state: [state.pop(name) for name in list(state)[:20]]))


@pytest.mark.parametrize(
    ("about", "hint"),
    [
        (lambda text: "not JSON", "its hybridgen config is damaged"),
        (lambda text: "[1]", "its hybridgen config is damaged"),
        (lambda text: "[" * 100_000, "its hybridgen config is damaged"),
        (lambda text: json.dumps({"format": FORMAT, "kind": "generator"}), "its hybridgen config is damaged"),
        (lambda text: json.dumps(json.loads(text) | {"data": {"size": 3}}), "its hybridgen config is damaged"),
        (lambda text: json.dumps({"format": 99}), "format 99, but this hybridgen reads format"),
        (lambda text: json.dumps(json.loads(text) | {"kind": "tokenizer"}), "holds a tokenizer, not a generator"),
        (lambda text: text.replace('"flow"', '"flwo"'), "unknown card 'flwo'. Did you mean 'flow'?"),
        (lambda text: text.replace('"mlp_width"', '"mpl_width"'), "unknown option 'mpl_width'"),
    ],
)
def test_a_damaged_config(changed, about, hint):
    assert hint in refused(changed(about=about))


def test_a_stored_part_file_is_not_imported(changed, tmp_path):
    (tmp_path / "part.py").write_text("from pathlib import Path\nPath('IMPORTED').touch()\nclass Mine: ...\n")
    said = refused(changed(about=lambda text: text.replace('"card": "flow"', '"card": "./part.py:Mine"')))
    assert "--registry" in said
    assert not (tmp_path / "IMPORTED").exists()


def test_an_unknown_setting_names_the_nearest(model):
    with pytest.raises(
        UserError, match=r"sampler\.head_stesp: unknown option 'head_stesp'.* Did you mean 'head_steps'"
    ):
        model.sample(labels=[3], head_stesp=8)
    with pytest.raises(UserError, match="-1 is too small; at least 0"):
        model.sample(labels=[3], head_steps=-1)


def test_settings_are_of_the_call_alone(model):
    before = model.sampler
    plain = model.sample(labels=[1], seed=3)
    other = model.sample(labels=[1], seed=3, solver="heun", guidance=(1.0, 3.0))
    assert not plain.equal(other)
    assert model.sampler is before
    assert model.sample(labels=[1], seed=3).equal(plain)


def test_a_picture_depends_on_its_seed_alone(model):
    many = model.sample(labels=[0, 1, 2, 3, 4], seed=7)
    assert model.sample(labels=[0, 1, 2, 3, 4], seed=7, batch=2).allclose(many, atol=1e-5)
    assert model.sample(labels=[3], seed=10).allclose(many[3:4], atol=1e-5)
    assert model.sample(labels=[3, 1], seeds=[10, 8]).allclose(many[[3, 1]], atol=1e-5)
    assert model.sample(labels=[3, 1], seeds=map(np.int64, (10, 8))).allclose(many[[3, 1]], atol=1e-5)


def test_labels_are_taken_in_turn(model):
    assert model.labels(None) == list(range(10))
    assert model.labels(None, 12) == [*range(10), 0, 1]
    assert model.labels([3, 5], 3) == [3, 5, 3]


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"labels": [10]}, r"unknown class '10'(.|\n)*9 \(Ankle boot\)"),
        ({"labels": [-1]}, "unknown class '-1'"),
        ({"labels": []}, "count: 0 samples of 0 classes are asked for"),
        ({"count": 0}, "count: 0 samples of 10 classes are asked for"),
        ({"labels": [1, 2], "seeds": [0]}, "seeds: 1 given for 2 samples"),
    ],
)
def test_wrong_labels(model, asked, hint):
    with pytest.raises(UserError, match=hint):
        model.sample(**asked)
