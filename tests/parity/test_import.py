"""`hybridgen import` on the layouts that trainers and publishers write, and on files that it must refuse."""

import json

import pytest
import torch
from reference import HERE, reference_folder
from safetensors.torch import load_file

from hybridgen.assemble import assemble_data
from hybridgen.cli import main
from hybridgen.config.compose import compose
from hybridgen.generate.trained import load
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import every_position, to_sequence
from hybridgen.published.importer import filled, match
from hybridgen.system.errors import UserError

BROKEN = {
    "1_truncated.safetensors": ["incomplete file"],
    "2_wrong_family.safetensors": ["no key matches the expected family (", "llamagen", "of DiT or SiT"],
    "3_missing_key.safetensors": ["missing: layers.0.attention.wo.weight\n"],
    "4_wrong_shape.safetensors": ["output.weight: expected (24, 32), found (23, 32)\n"],
    "5_executes_on_load.pt": ["refused for safety", "io.open", "nothing was executed"],
}


@pytest.fixture(scope="module")
def layouts():
    return reference_folder() / "checkpoints"


def experiment(name):
    return str(HERE / "cases" / f"layout_{name}.yaml")


def model_of(name, *files):
    composed = compose(experiment(name))
    return filled(composed, match(composed, [str(file) for file in files], whole=False))


def near(got, expected):
    error = ((got - expected).abs().max() / expected.abs().max()).item()
    assert error <= 1e-5, error


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_file_is_refused(file, tmp_path, monkeypatch, capsys):
    path = reference_folder() / "broken" / file
    monkeypatch.chdir(tmp_path)
    assert main(["import", experiment("llamagen"), str(path), "--out", "out"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(str(path))
    assert [part for part in BROKEN[file] if part not in said.err] == []
    assert list(tmp_path.iterdir()) == [], "something was written, or executed"


@pytest.mark.parametrize("file", ["gpt_ddp.pt", "gpt_deepspeed.pt", "gpt_state_dict.pt", "gpt_fsdp_plain.pt"])
def test_wrappings_of_a_state(layouts, file):
    """`model`, `module`, `state_dict`, or none: the same weights."""
    expected = load_file(layouts / "llamagen_pt/expect.safetensors")
    model = model_of("llamagen", layouts / "llamagen_pt" / file)
    codes, condition = expected["in.tokens"], model.conditioner({"label": expected["in.cond"]}, None)
    canvas = model.tokenizer.blank(2).with_(codes=[codes])
    due = model.order.training(2, Draws("not used"))
    with torch.no_grad():
        logits = model.code_head.logits(model.backbone(canvas, {}, due, condition), condition)
    near(logits, expected["out.train_logits"])


@pytest.mark.slow
def test_averaged_weights_of_mar(layouts, tmp_path, capsys):
    """`model_ema` is taken, float16 becomes float32, the losses' names are ignored; and the run can be sampled from."""
    folder = layouts / "mar_checkpoint_last"
    expected = load_file(folder / "expect.safetensors")
    files = [str(folder / "kl_tiny.ckpt"), str(folder / "checkpoint-last.pth")]
    assert main(["import", experiment("mar"), *files, "sampler.sets=2", "--out", str(tmp_path / "mar")]) == 0
    said = capsys.readouterr().out
    assert "60 keys used, 0 ignored, 0 missing   checkpoint-last.pth [model_ema]" in said
    assert "92 keys used, 2 ignored, 0 missing   kl_tiny.ckpt [model]" in said
    assert "ignored: 2 x losses of the training" in said
    assert "beside it, not read: args, epoch, model, optimizer, scaler" in said
    assert "licence    unverified" in said
    model = load(tmp_path / "mar").model
    with torch.no_grad():
        near(torch.cat(model.tokenizer.moments(expected["in.image"]), 1), expected["out.vae_moments"])
        known = expected["in.mask"] == 0
        canvas = model.tokenizer.blank(2).with_(vectors=[expected["in.tokens"]], known=[known])
        told = model.conditioner({"label": torch.zeros(2, dtype=torch.long)}, None)
        told.vector = expected["in.class_embedding"]
        every = every_position(2, (16,))
        near(model.backbone._hidden(canvas, known, int(known[0].sum()), every, told), expected["out.ema"])
    short = ["sampler.head_steps=2", "--labels", "2", "--count", "1", "--out", str(tmp_path / "drawn")]
    assert main(["sample", str(tmp_path / "mar"), *short]) == 0
    assert (tmp_path / "drawn/seed_000000.png").is_file()


@pytest.mark.slow
def test_two_sets_in_one_file(layouts, tmp_path, capsys):
    """A trainer's file with generator and tokenizer in it; and the generator alone, published plainly."""
    folder = layouts / "var_trainer_ckpt"
    expected = load_file(folder / "expect.safetensors")
    assert main(["import", experiment("var"), str(folder / "ar-ckpt-last.pth"), "--json", f"runs={tmp_path}"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["place"] for one in said["sets"]] == ["trainer.var_wo_ddp", "trainer.vae_local"]
    trained = load(said["run"]).model
    plain = model_of("var", folder / "var_published_plain.pth")
    with torch.no_grad():
        tokens = trained.tokenizer.encode(expected["in.image"])
        assert torch.equal(torch.cat(tokens.codes, 1), expected["out.tok_idx"])
        views = dict(enumerate(expected["in.var_input"].split([0, 4, 9], 1)))
        for model in (trained, plain):
            told = model.conditioner({"label": expected["in.label"]}, None)
            due = model.order.training(2, Draws("not used"))
            hidden = model.backbone(model.tokenizer.blank(2), views, due, told)
            near(model.code_head.logits(hidden, told), expected["out.logits"])


@pytest.mark.parametrize("file", ["0000100.pt", "published_plain.pt"])
def test_averaged_weights_of_dit(layouts, file):
    expected = load_file(layouts / "dit_train_pt/expect.safetensors")
    model = model_of("dit", layouts / "dit_train_pt" / file)
    told = model.conditioner({"label": expected["in.y"]}, None)
    t = ((expected["in.t"] + 1) / 1000)[:, None].expand(-1, 16)
    with torch.no_grad():
        got = model.residual_head.net(to_sequence(expected["in.x"]), t, told.vector[:, None], (4, 4))
    near(got, to_sequence(expected["out.ema"]))


@pytest.mark.slow
def test_a_part_without_weights_is_told(layouts):
    composed, file = compose(experiment("llamagen")), str(layouts / "llamagen_pt/gpt_ddp.pt")
    with pytest.raises(UserError, match=r"(?s)no weights for tokenizer.*`hybridgen import --list`"):
        match(composed, [file])
    with pytest.raises(UserError, match="both hold conditioner, backbone, code_head; name one of them"):
        match(composed, [file, file])


@pytest.mark.parametrize(
    ("override", "message"),
    [("model.backbone.depth=2", "missing: layers.1."), ("data.classes=6", "expected (7, 32), found (6, 32)")],
)
def test_another_size_is_told(layouts, override, message):
    composed = compose(experiment("llamagen"), [override, "data.names=numbers"])
    with pytest.raises(UserError) as caught:
        match(composed, [str(layouts / "llamagen_pt/gpt_ddp.pt")], whole=False)
    assert message in str(caught.value)


def test_nothing_is_written_over(layouts, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    file = str(layouts / "var_trainer_ckpt/ar-ckpt-last.pth")
    assert main(["import", experiment("var"), file, "--out", str(tmp_path)]) == 2
    assert "something is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_described_data_do_not_load():
    data = assemble_data(compose("base", ["data=described", "data.classes=3"]))
    assert data.spec.classes == ("0", "1", "2")
    with pytest.raises(UserError, match=r"described, not there.*3 x 256x256.*\n.*data=folder"):
        data.split("train")
