"""Ctrl-C: the step is finished, a checkpoint written, the way to go on said; a second one stops at once."""

import json
import signal

import pytest
from tiny_run import TINY, curves, differing, ended, interrupt, only, start, wait_for, weights

from hybridgen.cli import main


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "step"), [("tokenizer", 5), ("generator", 6)])
def test_ctrl_c_and_resume_equals_unbroken(stopped, tiny_runs, tmp_path, capsys, stage, step):
    code, run = stopped(stage, step, interrupt)
    assert code == 130
    assert f"stopped. Go on with: hybridgen resume {run.path}" in capsys.readouterr().err
    assert (run.status, run.info["status"]) == ("interrupted", "interrupted")
    assert not run.model.exists()
    whole = only(tiny_runs / "tiny")
    assert main(["resume", str(run.path)]) == 0
    assert differing(weights(run.path), weights(whole)) == []
    assert curves(run.path) == curves(whole)
    assert curves(only(tmp_path / "runs/tokenizers")) == curves(only(tiny_runs / "tokenizers"))
    assert run.status == "finished"
    shown = json.loads(run.summary.read_text())
    assert shown["accuracy"]["value"] == json.loads((whole / "summary.json").read_text())["accuracy"]["value"]


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(stopped, capsys):
    def twice():
        interrupt()
        interrupt()

    before = signal.getsignal(signal.SIGINT)
    code, run = stopped("generator", 6, twice)
    assert code == 130
    assert "Go on with: hybridgen resume" in capsys.readouterr().err
    assert run.info["status"] == "interrupted"
    assert [step for _, step, _ in curves(run.path)][-1] == 6
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_the_exit_code_of_the_process(tmp_path):
    """130, as a shell expects of Ctrl-C."""
    process = start("train", TINY, "train.tokenizer.steps=1000000", cwd=tmp_path)
    wait_for(process, lambda: list(tmp_path.glob("runs/tokenizers/*/checkpoints/last.ckpt")))
    process.send_signal(signal.SIGINT)
    code, _, said = ended(process, 30)
    assert code == 130
    assert "Traceback" not in said
    assert f"hybridgen resume {only(tmp_path / 'runs/tiny')}" in said
