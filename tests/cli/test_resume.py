"""`hybridgen resume`: which run, by whom, with whose parts. That it ends as an unbroken one: tests/faults."""

import json
import os
import shutil

import pytest
from tiny_run import curves, differing, interrupt, only, tiny, weights

from hybridgen.assemble import assemble_data
from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.system.files import lock


def test_a_failure_is_noted(stopped):
    def fail():
        raise ValueError("bang")

    with pytest.raises(ValueError, match="bang"):
        stopped("generator", 2, fail)
    assert Run.open("tiny").status == "failed"


@pytest.mark.slow
def test_a_run_that_is_being_trained(stopped, capsys):
    """Whoever holds it is named; its status stays as it was."""
    _, run = stopped("tokenizer", 2, interrupt)
    run.note(status="running")
    capsys.readouterr()
    with lock(run.path / ".lock"):
        before = (run.path / "run.json").read_text()
        assert main(["resume", "tiny"]) == 2
        assert f"is held by pid {os.getpid()} on" in capsys.readouterr().err
        assert (run.path / "run.json").read_text() == before


@pytest.mark.slow
def test_resuming_a_finished_run_judges_again(tiny_runs, tmp_path, capsys):
    shutil.copytree(tiny_runs, tmp_path / "runs")
    run = Run(only(tmp_path / "runs/tiny"))
    before, logged = weights(run.path), curves(run.path)
    assert main(["resume", "tiny", "--runs", str(tmp_path / "runs"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"]["value"] >= 0
    assert differing(before, weights(run.path)) == []
    assert curves(run.path) == logged


def test_there_is_no_such_run(tmp_path, capsys):
    assert main(["resume", "demo", "--runs", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no run 'demo'" in said
    assert "Traceback" not in said


def test_only_the_machine_may_change(tiny_runs, capsys):
    assert main(["resume", "tiny", "seed=1", "--runs", str(tiny_runs)]) == 2
    assert "unknown key 'seed'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_with_a_part_file_asks_for_its_folder_again(stopped, tmp_path, capsys):
    _, run = stopped("tokenizer", 2, interrupt)
    config = (run.path / "config.yaml").read_text().replace("card: flow\n", "card: ./mine.py:Mine\n")
    (run.path / "config.yaml").write_text(config)
    marker = tmp_path / "IMPORTED"
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        "from hybridgen.heads.flow import FlowHead, FlowMatching, Objective\n"
        f"Path({str(marker)!r}).touch()\n"
        "class Mine(FlowHead):\n"
        "    def __init__(self, tokens, width, *, mlp_width: int = 16, inner: float = 2.0, depth: int = 1,\n"
        "                 objective: Objective = FlowMatching(), normalise: str = 'measured',\n"
        "                 constant: float = 0.6) -> None:\n"
        "        super().__init__(tokens, width, mlp_width=mlp_width, depth=depth)\n"
    )
    capsys.readouterr()
    assert main(["resume", "tiny"]) == 2
    assert "--registry" in capsys.readouterr().err
    assert not marker.exists()
    assert main(["resume", "tiny", "--registry", str(tmp_path)]) == 0
    assert marker.exists()


@pytest.mark.slow
def test_data_that_have_changed_are_refused(stopped, monkeypatch, capsys):
    """The generator knows the first tokenizer's codes; nothing is trained and nothing written."""
    _, run = stopped("generator", 2, interrupt)
    before = {path: path.read_bytes() for path in run.root.rglob("*.json*")}
    monkeypatch.setattr(type(assemble_data(tiny())), "fingerprint", lambda _: "other")
    assert main(["resume", "tiny"]) == 2
    said = capsys.readouterr().err
    assert 'is "other" (the data have changed)' in said
    assert "train anew: hybridgen train tiny" in said
    assert len(list((run.root / "tokenizers").iterdir())) == 1
    assert {path: path.read_bytes() for path in run.root.rglob("*.json*")} == before


@pytest.mark.slow
def test_figures_stay_when_samples_cannot_be_shown(tiny_runs, tmp_path, monkeypatch):
    from hybridgen.workflows import run_experiment

    shutil.copytree(tiny_runs, tmp_path / "runs")
    run = Run(only(tmp_path / "runs/tiny"))
    run.summary.unlink()

    def fail(*_, **__):
        raise UserError("no sample")

    monkeypatch.setattr(run_experiment, "sample_sheet", fail)
    assert main(["resume", "tiny", "--runs", str(tmp_path / "runs")]) == 2
    assert "accuracy" in json.loads(run.summary.read_text())
