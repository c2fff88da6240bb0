"""HART's releases imported as they lie: a folder of two folders, shards with their index; then asked by prompt."""

import json

import pytest
import torch
from reference import HERE, reference_folder
from safetensors.torch import load_file
from tiny_published import write_encoder

from hybridgen.cli import main
from hybridgen.config.compose import compose
from hybridgen.generate.trained import load
from hybridgen.published.importer import filled, match
from hybridgen.published.reading import locate
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.canvas import replay

EXPERIMENT = str(HERE / "cases/layout_hart.yaml")


@pytest.fixture(scope="module")
def release():
    return reference_folder() / "checkpoints/hart_release"


@pytest.fixture(scope="module")
def expected(release):
    return load_file(release / "expect.safetensors")


def near(got, expected):
    error = ((got - expected).abs().max() / expected.abs().max()).item()
    assert error <= 1e-5, error


@torch.no_grad()
def check_generator(model, expected, which):
    """The first scale's hidden vectors and logits, and a call of the head's network, as the official code has them."""
    told = model.conditioner({"text": expected["in.context"], "text_mask": expected["in.context_mask"]}, None)
    assert torch.equal(told.positions[..., 0].long(), expected["in.context_position_ids"])
    hidden = model.backbone.begin(told).prefix
    near(hidden, expected[f"out.{which}.first_scale_hidden"])
    near(model.code_head.logits(hidden, told), expected[f"out.{which}.first_scale_logits"])
    x, z = expected["in.head.x"][:, None], expected["in.head.z"][:, None]
    near(model.residual_head.net(x, torch.full((3, 1), 6 / 1000), z, (1,))[:, 0], expected[f"out.{which}.head_t5"])


@torch.no_grad()
def check_tokenizer(model, expected):
    tokens = model.tokenizer.encode(expected["in.image"])
    assert torch.equal(torch.cat(tokens.codes, 1), expected["out.tok.idx"])
    owed = replay(model.tokenizer, tokens, model.order.scales, (2,)).owed[2]
    near(owed, expected["out.tok.rest"])


@pytest.mark.slow
def test_a_release_is_imported_whole(release, expected, tmp_path, capsys):
    """Tokenizer and averaged generator from one word, every key accounted for; then a prompt becomes a picture."""
    run = tmp_path / "run"
    encoder = write_encoder(tmp_path / "encoder", features=8)
    asked = [f"model.conditioner.encoder={encoder}", "--json"]
    assert main(["import", EXPERIMENT, str(release), "--out", str(run), *asked]) == 0
    sets = {one["family"]: one for one in json.loads(capsys.readouterr().out)["sets"]}
    assert sets["hart"]["file"] == str(release / "llm/ema_model.bin")
    stored = torch.load(release / "llm/ema_model.bin", weights_only=True)
    assert sets["hart"]["used"].keys() | sets["hart"]["ignored"].keys() == stored.keys()
    assert {name.rpartition(".")[2] for name in sets["hart"]["ignored"]} == {
        "attn_bias_for_masking", "lvl_1L", "zero_k_bias",
    }  # fmt: skip
    assert sets["multi-scale vq"]["file"] == str(release / "tokenizer/model.safetensors")
    trained = load(run)
    check_generator(trained.model, expected, "ema")
    check_tokenizer(trained.model, expected)
    assert main(["sample", str(run), "--prompt", "fox", "--out", str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn/seed_000000.png").is_file()


@pytest.mark.parametrize(
    "index",
    [
        "hart_release/llm/model.safetensors.index.json",
        "hart_release_sharded_bin/llm/pytorch_model.bin.index.json",
        "hart_release_sharded_bin/llm",
    ],
)
def test_shards(release, expected, index):
    """The raw weights, in two kinds of file; a folder that holds only shards is known by their index."""
    composed = compose(EXPERIMENT)
    taken = match(composed, [str(release.parent / index)], whole=False)
    check_generator(filled(composed, taken), expected, "model")


def test_a_folder_without_weights_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no weights in this folder, nor in those within"):
        locate(str(tmp_path))
