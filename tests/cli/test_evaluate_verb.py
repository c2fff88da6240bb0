"""`hybridgen evaluate`: figures anew with their protocol; what was trained cannot be changed."""

import json

import pytest
from tiny_run import only

from hybridgen.cli import main


@pytest.fixture
def evaluate(tiny_runs, tmp_path, monkeypatch, capsys):
    """Judges the tiny model; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["evaluate", "tiny", "--runs", str(tiny_runs), *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_the_protocol_is_a_sentence(evaluate, tmp_path):
    code, out, err = evaluate("metrics.samples=60", "--out", "figures/all.json")
    assert code == 0
    last = out.strip().splitlines()[-1]
    assert last.startswith("accuracy by the judge on 96 features of judge of ")
    assert "60 samples (10 classes equally often) against " in last
    assert "seeds 0-59, EMA weights, sampler card hart" in last
    assert last.endswith(".")
    assert "drawing samples: 60 of 60" in err
    stored = json.loads((tmp_path / "figures/all.json").read_text())
    assert stored["accuracy"]["protocol"]["drawn"] == 60


def test_it_agrees_with_training(evaluate, tiny_runs):
    """The same settings give the same figures, but for times."""
    _, out, _ = evaluate("--json")
    now, then = json.loads(out), json.loads((tiny_runs / "tiny/summary.json").read_text())
    for name in ("psnr_discrete", "psnr_residual", "accuracy", "accuracy_discrete", "macs"):
        assert now[name] == then[name]


@pytest.mark.slow
def test_sampler_settings_change_the_protocol(evaluate):
    _, out, _ = evaluate("sampler.head_steps=1", "sampler.solver=heun", "metrics.seed=5", "--json")
    protocol = json.loads(out)["accuracy"]["protocol"]
    assert (protocol["sampler"]["head_steps"], protocol["sampler"]["solver"]["card"]) == (1, "heun")
    assert protocol["seeds"] == "5-124"


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("model.backbone.depth=2", "trained model, what may change: unknown key 'model.backbone.depth'"),
        ("train.generator.steps=2", "unknown key 'train.generator.steps'"),
        ("seed=2", "unknown key 'seed'"),
        ("metrics.sample=5", "override metrics.sample=5: unknown key 'sample'. Did you mean 'samples'?"),
        ("metrics.which=[acuracy]", "unknown card 'acuracy'. Did you mean 'accuracy'?"),
        ("metrics.judge=nowhere", "nowhere: no such file"),
        ("data=emoji32", "data: 3 x 32x32 in 8 classes, but the model was trained on 1 x 28x28 in 10 classes"),
        ("data={card: fashion_mnist, root: nowhere}", "nowhere"),
    ],
)
def test_refused_before_anything_is_drawn(evaluate, tmp_path, override, hint):
    code, out, err = evaluate("metrics.samples=90", override)
    assert (code, out) == (2, "")
    assert hint in err
    assert "drawing" not in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_weights_file(tiny_runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = only(tiny_runs / "tiny") / "model.safetensors"
    assert main(["evaluate", str(file), "metrics.samples=20"]) == 0
    assert "20 samples" in capsys.readouterr().out


def test_figures_that_cannot_be_had_are_left_out_with_a_sentence(evaluate):
    code, out, err = evaluate("metrics.samples=90", "metrics.which=[frechet,kid]")
    assert code == 0
    assert "frechet is left out: metrics.samples" in err
    assert "kernel distance" in out
