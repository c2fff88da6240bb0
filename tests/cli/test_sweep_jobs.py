"""`--launcher submitit`: workers as jobs, of submitit's local executor and of a Slurm that is made up."""

import os
import signal
import sys

import fake_slurm
import pytest
from tiny_run import SWEPT, ended, only, start, wait_for

from hybridgen.cli import main
from hybridgen.runs.run import Run

SUBMIT = ["sweep", "swept.yaml", "--launcher", "submitit"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "swept.yaml").write_text(SWEPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["local", "slurm"])
def cluster(request, folder, monkeypatch):
    """Where jobs run, as arguments."""
    pytest.importorskip("submitit")
    if request.param == "local":
        return ["--job", "cluster=local"]
    monkeypatch.setenv("PATH", f"{fake_slurm.make(folder / 'slurm')}{os.pathsep}{os.environ['PATH']}")
    return ["--job", "slurm_partition=long", "--job", "cpus_per_task=2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no Slurm here"),
        (["--job", "cluster=nowhere"], "--job: AutoExecutor doesn't know any executor named nowhere"),
        (["--job", "cluster=local", "--job", "colour=blue"], "need to be prefixed by an executor name"),
        (["--job", "cluster=local", "--job", "partition=long"], "Use 'slurm_partition' instead"),
        (["--job", "cluster=local", "--job", "gpus_per_node=two"], "gpus_per_node"),
        (["--job", "timeout"], "'timeout' is not of the form KEY=VALUE"),
        (["--launcher", "local", "--job", "cluster=local"], "goes with --launcher submitit"),
    ],
)
def test_what_cannot_be_started_is_said_first(folder, monkeypatch, capsys, arguments, message):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(folder))
    assert main([*SUBMIT, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "runs").exists(), "nothing was written"


def test_without_submitit_the_extra_is_named(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main([*SUBMIT, "--job", "cluster=local"]) == 2
    assert "pip install 'hybridgen[slurm]'" in capsys.readouterr().err
    assert not (folder / "runs").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_jobs_work_off_a_study(folder, cluster):
    """Two jobs; what the command then prints is what it prints of its own processes."""
    code, out, said = ended(start(*SUBMIT, "--workers", "2", *cluster, cwd=folder), 1500)
    assert code == 0, said
    assert "4 of 4 trials done (4 complete, 0 pruned, 0 failed)" in out
    study = Run(only(folder / "runs/swept/sweeps"))
    assert study.status == "finished"
    jobs = study.path / "jobs"
    assert 1 <= len(list(jobs.glob("*_submitted.pkl"))) <= 2, "at most as many jobs as workers"
    assert not list(jobs.glob("*_result.pkl")), "no job gives anything back that would have to be unpickled"
    assert any("trial 0:" in log.read_text() for log in jobs.glob("*.err")), "a job's log is the worker's"
    for script in folder.glob("slurm/*.script"):
        assert {"#SBATCH --partition=long", "#SBATCH --cpus-per-task=2", "#SBATCH --time=240"} <= {
            *script.read_text().splitlines()
        }


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ctrl_c_stops_the_jobs(folder, cluster):
    """Their trial is open again as stopped, not as lost, and nobody works on."""
    process = start(*SUBMIT, *cluster, "train.generator.steps=4000", cwd=folder)
    wait_for(process, lambda: list(folder.glob("runs/generators/*/checkpoints/last.ckpt")), timeout=500)
    process.send_signal(signal.SIGINT)
    code, _, said = ended(process, 300)
    assert code == 130, said
    assert "Go on with the same command" in said
    study = Run(only(folder / "runs/swept/sweeps"))
    (trial,) = study.children
    assert trial.info["reason"] == "stopped by the user"
    assert list((study.path / "jobs").glob("ended-*")), "the job ended well"
