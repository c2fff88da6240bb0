"""`hybridgen train`: refuses early and in one message, begins from earlier weights, keeps frozen parts."""

import json
import shutil

import pytest
import torch
from tiny_run import TINY, curves, differing, only, tiny, weights

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.runs.weights import read_about
from hybridgen.system.errors import UserError
from hybridgen.training.start import begin_from, find_init

PLUGIN = """
from hybridgen.heads.categorical import CategoricalHead
class Mine(CategoricalHead):
    def __init__(self, tokens, width, *, size: int = 1) -> None:
        super().__init__(tokens, width)
        {in_init}
    def loss(self, logits, codes):
        {in_loss}
        return super().loss(logits, codes)
"""


@pytest.fixture
def train(tiny_runs, tmp_path, monkeypatch, capsys):
    """Trains the tiny experiment from a folder of its own; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYBRIDGEN_DATA", raising=False)

    def run(*overrides, experiment=TINY, verb="train"):
        code = main([verb, str(experiment), *map(str, overrides)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(train, tmp_path):
    """What was complained; nothing was written."""

    def run(*overrides, **how):
        before = sorted(tmp_path.rglob("*"))
        code, out, err = train(*overrides, **how)
        assert code == 2
        assert out == ""
        assert "Traceback" not in err
        assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before
        return err

    return run


def test_a_run_is_whole(tiny_runs):
    run = Run(only(tiny_runs / "tiny"))
    assert run.status == "finished"
    for file in (run.model, run.report, run.summary, run.checkpoint, run.path / "samples.png"):
        assert file.stat().st_size > 0
    figures = json.loads(run.summary.read_text())
    assert {"psnr_discrete", "psnr_residual", "accuracy", "accuracy_real", "seconds_total"} <= figures.keys()
    assert all(figure["protocol"]["metric"] for figure in figures.values())
    assert json.loads((run.path.parent / "summary.json").read_text()) == figures
    assert {line["stage"] for line in run.metrics()} == {"tokenizer", "generator"}
    assert sorted(file.name for file in run.samples.iterdir()) == ["step_0000006.png", "step_0000012.png"]
    assert not list(tiny_runs.rglob(".*tmp*")), "no half-written file is left"


def test_what_the_user_changed_is_noted(tiny_runs):
    run = Run(only(tiny_runs / "tiny"))
    assert run.delta["runs"] == str(tiny_runs)
    assert run.delta["model"]["backbone"] == {"width": 16, "depth": 1, "heads": 2}
    assert run.config["train"]["generator"]["lr"] == 1.5e-3, "defaults are written out"
    assert read_about(run.model)["config"] == run.config


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("init=nowhere", "init: runs: no run 'nowhere'"),
        ("init=tiny.safetensors", "init: tiny.safetensors: there is no such file"),
        ("freeze=[model.backbon]", "freeze: unknown part 'model.backbon'. Did you mean 'model.backbone'?"),
        ("freeze=[model.tokenizer]", "freeze: unknown part 'model.tokenizer'"),
        ("data={card: fashion_mnist, root: nowhere}", "nowhere"),
        ("data={card: folder, root: nowhere}", "nowhere"),
        ("metrics.which=[acuracy]", "metrics.which: unknown card 'acuracy'. Did you mean 'accuracy'?"),
        ("metrics.judge=nowhere.safetensors", "nowhere.safetensors: no such file"),
        ("metrics.lpips=nowhere.pth", "metrics.lpips: nowhere.pth: cannot be read"),
        ("metrics.inception=nowhere.pt", "metrics.inception: nowhere.pt: cannot be read"),
        ("train.generator.accumulate=3", "accumulate: 3 parts of equal size cannot make a batch of 8"),
        ("train.generator.betas=[0.9, 1.0]", "betas: (0.9, 1.0): each is at least 0 and below 1"),
        ("sampler.guidance=[]", "sampler: guidance: an empty list"),
        ("model.tokenizer=continuous", "no codes"),
        ("model.backbone.heads=3", "heads: 3 does not divide width 16"),
        ("model.order=null", "override model.order=null: null is not a value here"),
        ("sampler.by=confidence", "sampler.by: 'confidence' feeds positions again"),
    ],
)
def test_refused_before_anything_is_written(refused, override, hint):
    assert hint in refused("metrics.samples=50", override)


def test_a_tokenizer_is_no_model_to_begin_from(refused, tiny_runs):
    file = only(tiny_runs / "tokenizers") / "model.safetensors"
    assert f"init: {file} holds a tokenizer, not a generator" in refused(f"init={file}")


def test_nothing_left_to_train(refused):
    parts = [f"model.{name}" for name in ("conditioner", "backbone", "code_head", "residual_head", "join")]
    assert "freeze: nothing is left to train" in refused(f"freeze=[{','.join(parts)}]")


def test_a_frozen_part_that_the_model_has_not(refused):
    said = refused("freeze=[model.code_head]", "model.code_head=null", "model.order=last")
    assert "freeze: unknown part 'model.code_head'" in said


def test_a_file_where_the_runs_should_go(refused, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "runs: taken is a file; name a folder" in refused("runs=taken/below")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_several_things_are_told_at_once(refused):
    said = refused("device=cuda", "metrics.judge=nowhere.safetensors")
    assert "torch sees no GPU here" in said
    assert "nowhere.safetensors: no such file" in said


@pytest.mark.parametrize("verb", ["train", "check"])
@pytest.mark.parametrize(
    ("place", "line"), [("on import", 9), ("in_init", 6), ("in_loss", 8)], ids=["import", "init", "loss"]
)
def test_a_plug_in_that_raises(refused, tmp_path, verb, place, line):
    """The user's own line is named, whenever it raises."""
    fault = "raise RuntimeError('bang')"
    text = PLUGIN.format(**{"in_init": "pass", "in_loss": "pass"} | {place: fault})
    (tmp_path / "mine.py").write_text(text.rstrip() + ("" if place != "on import" else f"\n{fault}"))
    (tmp_path / "mine.yaml").write_text(f"extends: {TINY}\nmodel: {{code_head: './mine.py:Mine'}}\n")
    said = refused(experiment="mine.yaml", verb=verb)
    assert "RuntimeError: bang" in said
    assert f"mine.py:{line}" in said or f"in line {line + 1} of mine.py" in said


def test_begin_from_a_run(tiny_runs):
    """Every weight of the generator is that of the file, before the first step."""
    file = find_init("tiny", tiny_runs)
    assert file == find_init(str(file), tiny_runs) == find_init(str(file.parent), tiny_runs)
    composed = tiny("seed=1")
    model = assemble_model(composed, assemble_data(composed).spec)
    tokenizer = {name: value.clone() for name, value in model.tokenizer.state_dict().items()}
    assert begin_from(file, model) == []
    found = {name: value for name, value in model.state_dict().items() if not name.startswith("tokenizer.")}
    expected = {name: value for name, value in weights(file.parent).items() if not name.startswith("tokenizer.")}
    assert differing(found, expected) == []
    assert differing(model.tokenizer.state_dict(), tokenizer) == [], "the tokenizer is the experiment's own"


def test_begin_from_weights_that_hardly_fit(tiny_runs):
    composed = tiny("model.backbone.width=32", "model.residual_head=null", "model.tokenizer.channels=5")
    model = assemble_model(composed, assemble_data(composed).spec)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = begin_from(find_init("tiny", tiny_runs), model)
    assert "backbone.inp.weight" in fresh
    assert differing(model.state_dict(), before) == ["code_head.out.bias"], "all else has another shape"


def test_begin_from_weights_that_fit_nowhere(tiny_runs):
    composed = tiny("model.backbone.width=32", "model.code_head=null", "model.order=last")
    model = assemble_model(composed, assemble_data(composed).spec)
    model.residual_head, model.join = None, None
    with pytest.raises(UserError, match="has no weights that fit this model"):
        begin_from(find_init("tiny", tiny_runs), model)


@pytest.mark.slow
def test_fine_tuning(train, tiny_runs, tmp_path):
    """A rate too small to move any weight keeps those of `init`, but for the head that is another one."""
    here = only(tiny_runs / "tiny")
    options = ["train.generator.steps=2", "train.generator.lr=1e-30", "model.residual_head.depth=2"]
    code, _, err = train(f"init={here}", *options)
    assert code == 0
    assert "start anew: residual_head.net.blocks.1." in err
    assert "another" not in err, "the tokenizer is the same"
    tuned = only(tmp_path / "runs/tiny")
    before, after = weights(here), weights(tuned)
    changed = differing(before, after)
    assert changed, "the new block is there"
    assert all(name.startswith("residual_head.") for name in changed)
    assert Run(tuned).config["init"] == str(here / "model.safetensors")


def test_another_tokenizer_is_told(train, tiny_runs):
    code, out, _ = train(f"init={only(tiny_runs / 'tiny')}", "seed=3", "data=fashion28", "--json", verb="check")
    assert code == 0
    assert json.loads(out)["warnings"] == ["init: its weights know the tokenizer of another seed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["model.conditioner=none", "sampler.guidance=1"],
        ["model.tokenizer={card: patch}", "model.code_head=null", "model.order=last"],
        ["model.residual_head=null", "metrics.which=[]"],
    ],
    ids=["no condition", "nothing to learn in stage 1", "nothing to measure"],
)
def test_the_whole_way_with_little(train, tmp_path, overrides):
    code, out, _ = train("train.tokenizer.steps=2", "train.generator.steps=2", *overrides)
    assert code == 0
    assert "MACs per sample" in out
    assert Run(only(tmp_path / "runs/tiny")).report.exists()


@pytest.mark.slow
def test_frozen_parts_keep_their_weights(train, tiny_runs, tmp_path):
    here = only(tiny_runs / "tiny")
    code, *_ = train(f"init={here}", "freeze=[model.backbone, model.join]", "train.generator.steps=3")
    assert code == 0
    before, after = weights(here), weights(only(tmp_path / "runs/tiny"))
    changed = differing(before, after)
    assert not any(name.startswith(("backbone.", "join.", "tokenizer.")) for name in changed)
    assert {name.split(".")[0] for name in changed} == {"conditioner", "code_head", "residual_head"}


@pytest.mark.slow
def test_figures_as_json(train, tiny_runs, tmp_path):
    """The tokenizer is taken from its folder; the summary is what is printed."""
    shutil.copytree(tiny_runs / "tokenizers", tmp_path / "runs/tokenizers")
    tokenizer = only(tmp_path / "runs/tokenizers")
    before = curves(tokenizer)
    code, out, err = train("train.generator.steps=1", "--json")
    assert code == 0
    assert curves(tokenizer) == before
    assert only(tmp_path / "runs/tokenizers") == tokenizer, "it was not trained again"
    assert json.loads(out) == json.loads((tmp_path / "runs/tiny/summary.json").read_text())
    assert "M parameters" in err
