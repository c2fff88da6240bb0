"""`hybridgen check`: builds an experiment and says what it saw; trains and writes nothing."""

import json

import pytest
from tiny_run import TINY, tiny

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.cli import main


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Gives exit code, stdout, stderr; nothing is ever written."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        code = main(["check", str(TINY), *overrides])
        assert list(tmp_path.iterdir()) == []
        return code, *capsys.readouterr()

    return run


def test_shapes_parameters_estimates(check):
    code, out, err = check()
    assert (code, err) == (0, "")
    for line in ("latent                           2 x 4 x 7 x 7", "codes, scale 2                   2 x 49 of 8",
                 "hidden, step 2 (scale 7x7)       4 x 49 x 16", "sample                           2 x 1 x 28 x 28",
                 "training of the generator", "MiB", "nothing looks wrong"):  # fmt: skip
        assert line in out


def test_parameters_are_counted(check):
    """Against the model itself, part by part."""
    _, out, _ = check("--json")
    found = json.loads(out)
    model = assemble_model(tiny(), assemble_data(tiny()).spec)
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert {name: found["parameters"][name] for name in counted} == counted
    assert found["parameters"]["total"] == sum(counted.values())
    assert found["seconds"].keys() == {"tokenizer", "generator"}
    assert found["memory"] > 20 * counted["tokenizer"]
    assert found["warnings"] == []


@pytest.mark.slow
def test_more_steps_take_longer(check):
    estimates = [
        json.loads(check(f"train.generator.steps={n}", "--json")[1])["seconds"]["generator"] for n in (10, 10000)
    ]
    assert 100 < estimates[1] / estimates[0] < 10_000


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (["model.code_head=null"], "the tokenizer has codes, but there is no code head"),
        (["model.tokenizer.vocab=1024"], "bits of codes for 4 channels a position"),
        (["model.conditioner.drop=0"], "guidance needs a null that was trained, but model.conditioner.drop is 0"),
    ],
)
def test_what_looks_wrong(check, overrides, hint):
    code, out, _ = check(*overrides)
    assert code == 0
    assert f"note: {hint}" in out or hint in out


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (["model.tokenizer=continuous"], "no codes"),
        (
            ["model.tokenizer=continuous", "model.code_head=null", "model.backbone.reads=codes"],
            "needs a tokenizer with codes",
        ),
        (["model.backbone=null"], "null is not a value here; needed: a card of backbone"),
        (["model.code_head=null", "model.residual_head=null"], "needs at least one of the two"),
        (["model.backbone=none"], "too few to draw codes from; set code_head=null"),
        (["model.tokenizer.scales=[1, 2]"], "the last one is"),
        (["model.residual_head.mlp_width=0"], "0 is too small; at least 1"),
        (["freeze=[model.code_haed]"], "Did you mean 'model.code_head'?"),
    ],
)
def test_misfits(check, overrides, hint):
    code, out, err = check(*overrides)
    assert (code, out) == (2, "")
    assert hint in err
    assert "Traceback" not in err
