"""`hybridgen sweep` end to end on the tiny experiment: what is trained, what is reused, what a trial says of itself."""

import contextlib
import io
import json
import os
import re
import shlex
import signal

import pytest
from tiny_run import ROOT, SWEPT, TINY, ended, only, start, wait_for

from hybridgen.cli import main
from hybridgen.runs.run import Run, runs_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # commands that start commands, each importing torch


@pytest.fixture(scope="module")
def sweep():
    """Runs a study in a folder, its trials in this process as a worker would; gives what the command then printed."""

    def run(folder, *arguments, verb="sweep"):
        out = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(out):
            assert main([verb, *arguments, "--worker"]) == 0
            assert main([verb, *arguments]) == 0
        return out.getvalue()

    return run


@pytest.fixture(scope="module")
def swept(tmp_path_factory, sweep):
    """A folder in which four trials of two generators are done, without tracking."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "swept.yaml").write_text(SWEPT)
    assert "4 of 4 trials done" in sweep(folder, "swept.yaml")
    return folder


def study(folder):
    return Run(only(folder / "runs/swept/sweeps"))


def test_each_model_is_trained_once(swept):
    assert len(runs_in(swept / "runs/tokenizers")) == 1
    generators = runs_in(swept / "runs/generators")
    assert len(generators) == 2
    assert all(Run(path).status == "finished" for path in generators)
    uses = [trial.info["generator"] for trial in study(swept).children]
    assert sorted(uses) == sorted(f"generators/{path.name}" for path in generators for _ in range(2))


def test_what_a_trial_leaves(swept):
    run = study(swept)
    assert (run.status, run.experiment, run.root) == ("finished", "swept", swept / "runs")
    trials = run.children
    assert [t.name for t in trials] == ["0000", "0001", "0002", "0003"]
    for trial in trials:
        assert trial.status == "finished"
        assert (trial.path / "samples.png").exists()
        assert json.loads(trial.summary.read_text())["accuracy"]["protocol"]["kind"] == "drawn"
        assert trial.info["tags"]["replay"].startswith("OMP_NUM_THREADS=1 hybridgen train swept.yaml model.residual_h")
    assert {trial.config["model"]["residual_head"]["mlp_width"] for trial in trials} == {8, 16}


def test_the_page_and_the_plots_need_nothing_else(swept):
    run = study(swept)
    page = run.report.read_text()
    assert page.endswith("</html>")
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert page.count("<svg ") >= 4, "plots travel inside"
    assert "data:image/png;base64," in page, "samples too"
    assert {p.name for p in run.path.glob("*.png")} >= {"history_0.png", "pareto.png", "parallel.png"}
    assert "hybridgen train swept.yaml" in page


def test_the_replay_command_gives_the_same_figures(swept, tmp_path, monkeypatch):
    """From nothing, in another folder, to the last bit; only seconds differ."""
    trial = study(swept).children[3]
    (tmp_path / "swept.yaml").write_text(SWEPT)
    threads, *words = shlex.split(trial.info["tags"]["replay"])
    assert threads == "OMP_NUM_THREADS=1"
    assert words[0] == "hybridgen"
    monkeypatch.chdir(tmp_path)
    assert main(words[1:]) == 0
    again = json.loads(Run.open("swept", tmp_path / "runs").summary.read_text())
    compared = 0
    for name, figure in json.loads(trial.summary.read_text()).items():
        if figure["protocol"]["kind"] != "timed":
            assert figure["value"] == again[name]["value"], name
            compared += 1
    assert compared > 10


def test_the_evaluate_command_too(swept, capsys):
    trial = study(swept).children[3]
    words = shlex.split(trial.info["tags"]["evaluate"])
    assert main([*words[1:], "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    mine = json.loads(trial.summary.read_text())
    assert again["accuracy"]["value"] == mine["accuracy"]["value"]
    assert again["accuracy"]["protocol"] == mine["accuracy"]["protocol"]


def test_a_finished_study_adds_nothing(swept, monkeypatch, capsys):
    """Also from Python, and with one trial more asked for than the grid has."""
    monkeypatch.chdir(swept)
    before = sorted(p for p in (swept / "runs").rglob("summary.json"))
    assert main(["sweep", "swept.yaml", "--trials", "5"]) == 0
    assert "4 of 4 trials done (4 complete" in capsys.readouterr().out
    assert sorted(p for p in (swept / "runs").rglob("summary.json")) == before


def test_status_and_plan_of_a_finished_study(swept, monkeypatch, capsys):
    monkeypatch.chdir(swept)
    assert main(["sweep", "swept.yaml", "--status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["complete"], found["waiting"], found["running"]) == (4, 0, [])
    assert main(["sweep", "swept.yaml", "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["trials"], plan["generators"]) == (0, [])


def test_the_plan_of_another_grid_reuses(swept, monkeypatch, capsys):
    """What was trained is found; what a plan says, it has not done."""
    monkeypatch.chdir(swept)
    more = "sweep.over.model.residual_head.mlp_width=[8, 16, 32]"
    before = sorted((swept / "runs").rglob("*"))
    assert main(["sweep", "swept.yaml", more, "--plan", "--budget", "1h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 trials: 1 tokenizer (found in runs/tokenizers/")
    assert "3 generators (model.residual_head.mlp_width) to train, 2 found, " in out
    assert "6 evaluations of them (sampler.head_steps); about " in out
    assert out.count("found in runs/generators/") == 2
    assert main(["sweep", "swept.yaml", more, "--budget", "0.001"]) == 2
    assert "--budget: about " in capsys.readouterr().err
    assert sorted((swept / "runs").rglob("*")) == before, "nothing was written"


def test_a_failing_trial_does_not_stop_the_study(tmp_path, sweep):
    """A bad combination and a diverging training are recorded with their reasons; the others are done."""
    block = SWEPT.replace("[8, 16]", "[8]").replace("sampler.head_steps: [1, 2]", "model.backbone.heads: [2, 3]")
    block = block.replace("sampler: grid", "sampler: grid\n").replace("accuracy: max, macs: min", "accuracy: max")
    (tmp_path / "swept.yaml").write_text(
        block.replace("  objectives", "    train.generator.lr: [0.001, 1.0e+30]\n  objectives")
    )
    out = sweep(tmp_path, "swept.yaml", "train.generator.clip=0")
    assert "4 of 4 trials done (1 complete, 0 pruned, 3 failed)" in out
    assert "2 x " in out
    assert "heads: 3 does not divide width 16" in out
    assert "1 x train.generator: the training has diverged" in out
    failed = [trial for trial in study(tmp_path).children if trial.status == "failed"]
    assert len(failed) == 3
    assert all(trial.info["tags"]["reason"] == trial.info["reason"] for trial in failed)


def test_ctrl_c_and_the_same_command_again(tmp_path):
    """Clean state, a word on how to go on; the trial in work is begun again and counts once."""
    (tmp_path / "swept.yaml").write_text(SWEPT)
    long = ["train.generator.steps=150", "train.generator.save_every=10"]
    process = start("sweep", "swept.yaml", *long, cwd=tmp_path)
    wait_for(process, lambda: list(tmp_path.glob("runs/generators/*/checkpoints/last.ckpt")), timeout=500)
    process.send_signal(signal.SIGINT)
    code, _, said = ended(process, 500)
    assert code == 130
    assert "Traceback" not in said
    assert "Go on with the same command" in said
    workers = (study(tmp_path).path / "worker-0.log").read_text()
    assert "Traceback" not in workers
    assert study(tmp_path).info["status"] == "interrupted"
    code, out, said = ended(start("sweep", "swept.yaml", *long, cwd=tmp_path), timeout=800)
    assert code == 0, said
    assert "4 of 4 trials done (4 complete, 0 pruned, 0 failed)" in out
    assert "1 begun again" in out


def test_kill_9_of_a_worker_in_mid_trial(tmp_path):
    """The command starts another worker; the trial counts once, its generator goes on from its checkpoint."""
    (tmp_path / "swept.yaml").write_text(SWEPT)
    process = start("sweep", "swept.yaml", "train.generator.steps=150", cwd=tmp_path)
    folder = tmp_path / "runs/swept/sweeps"
    wait_for(process, lambda: list(tmp_path.glob("runs/generators/*/checkpoints/last.ckpt")), timeout=500)
    os.kill(Run(only(next(folder.iterdir()) / "trials")).info["pid"], signal.SIGKILL)
    code, out, said = ended(process, 800)
    assert code == 0, said
    assert "its worker is gone; the trial is begun again" in said
    assert "4 of 4 trials done (4 complete, 0 pruned, 0 failed)" in out
    assert len(runs_in(tmp_path / "runs/generators")) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_trials_are_nested_in_mlflow(swept, tmp_path, sweep):
    """One parent with the page and the plots; each trial below it with overrides, figures, samples and its command."""
    from mlflow import MlflowClient

    (tmp_path / "swept.yaml").write_text(SWEPT)
    (tmp_path / "runs").mkdir()
    for kind in ("tokenizers", "generators"):  # trained before
        (tmp_path / "runs" / kind).symlink_to(swept / "runs" / kind)
    sweep(tmp_path, "swept.yaml")
    assert main(["track", "sync", str(study(tmp_path).path)]) == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("swept").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(nested) == 4
    assert all(run.info.status == "FINISHED" for run in runs)
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files >= {"report.html", "pareto.png", "history_0.png"}
    for run in nested:
        assert run.data.tags["replay"].startswith("OMP_NUM_THREADS=")
        assert run.data.tags["overrides"].startswith("model.residual_head.mlp_width=")
        assert "accuracy" in run.data.metrics
        assert "samples.png" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_pruner_looks_at_stage_2(tmp_path, sweep):
    """Its values come from held-out looks; a pruned trial leaves a generator that somebody may go on with."""
    block = SWEPT.replace("{accuracy: max, macs: min}", "{accuracy: max}\n  pruner: median").replace("[8, 16]", "[8]")
    block = block.replace(
        "sampler.head_steps: [1, 2]", "train.generator.lr: [0.02, 0.021, 0.022, 0.023, 0.024, 1.0e-7]"
    )
    (tmp_path / "swept.yaml").write_text(block)
    out = sweep(tmp_path, "swept.yaml")
    assert "6 of 6 trials done (5 complete, 1 pruned, 0 failed)" in out
    pruned = [t for t in study(tmp_path).children if t.info.get("tags", {}).get("state") == "pruned"]
    assert [trial.config["train"]["generator"]["lr"] for trial in pruned] == [1e-7]


@pytest.mark.parametrize("verb", ["ablate", "sweep"])
def test_the_commands_of_the_tutorial(tmp_path, monkeypatch, sweep, verb):
    """Every command of docs/tutorials/ablation.md, on the tiny experiment in place of the demo."""
    text = (ROOT / "docs/tutorials/ablation.md").read_text()
    for name, content in re.findall(r'^```yaml title="([^"]+)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
        small = content.replace("extends: demo", f"extends: {TINY}").replace("samples: 1000", "samples: 128")
        (tmp_path / name).write_text(small)
    lines = re.findall(rf"^    hybridgen {verb} (.+)$", text, re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if not word.startswith("train.")]
        if {"--plan", "--status"} & {*words}:
            monkeypatch.chdir(tmp_path)
            assert main([verb, *words]) == 0, line
        else:
            assert sweep(tmp_path, *words, verb=verb), line
    if verb == "ablate":
        studies = [Run(path) for path in runs_in(tmp_path / "runs/my_ablation/sweeps")]
        assert sorted(len(each.children) for each in studies) == [6, 9], "more seeds go on with the same study"
        for each in studies:
            assert {file.name for file in each.path.glob("table.*")} == {"table.md", "table.tex", "table.csv"}
            assert "side by side" in each.report.read_text()
