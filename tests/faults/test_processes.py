"""A run of two processes, started by the command line: stopped, killed, left alone; and gone on with.

What two processes train is compared with one in tests/unit/test_ranks.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_run import ROOT, TINY, curves, ended, only, start, weights

from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.system.files import process_start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # seconds on a quiet machine, minutes on a busy one
LONG = 700
TWO = ["train", TINY, "compute.devices=2"]
CHILD = "int(Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text().split()[0])"
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks /proc which processes were started")


def test_ctrl_c_stops_both_and_resume_goes_on(tmp_path, tiny_runs):
    """One run, one table, and the losses of one process, though it was stopped in the middle of stage 2."""
    stop = "os.kill(os.getpid(), signal.SIGINT)"
    code, _, said = ended(start(*TWO, cwd=tmp_path, at=("generator", 6, stop)), timeout=LONG)
    assert code == 130, said
    run = Run(only(tmp_path / "runs/tiny"))
    assert (run.status, f"Go on with: hybridgen resume {run.path}" in said) == ("interrupted", True), said
    assert "Traceback" not in said
    code, out, said = ended(start("resume", run.path, cwd=tmp_path), timeout=LONG)
    assert code == 0, said
    assert out.count("accuracy by the judge") == 1, "one process speaks"
    whole = only(tiny_runs / "tiny")
    assert run.path == only(tmp_path / "runs/tiny"), "one run was made"
    assert [line[:2] for line in curves(run.path)] == [line[:2] for line in curves(whole)]
    for (_, _, found), (_, _, expected) in zip(curves(run.path), curves(whole), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)
    assert weights(run.path).keys() == weights(whole).keys()
    summary = json.loads(run.summary.read_text())
    assert summary["seconds_total"]["protocol"]["processes"] == 2
    assert not list(tmp_path.rglob(".*tmp*"))


def test_processes_that_torchrun_started_are_connected(tmp_path):
    """None is started here; each knows its place before and after."""
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", ROOT / "tests/torchrun_probe.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LONG)
    assert done.returncode == 0, done.stderr
    told = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert told == {"0.txt": "('from the first', 2, False)", "1.txt": "('from the first', 2, True)"}


def test_two_processes_judge_as_one_does(tiny_runs, tmp_path, capsys):
    """To the bit: the same batches are drawn, by one or the other; what is timed is another matter."""
    told = ["evaluate", only(tiny_runs / "tiny"), "metrics.batch=50", "--json"]
    code, out, said = ended(start(*told, "compute.devices=2", cwd=tmp_path), timeout=LONG)
    assert code == 0, said
    assert main([str(word) for word in told]) == 0
    found, expected = json.loads(out), json.loads(capsys.readouterr().out)
    assert found.keys() == expected.keys()
    for name, figure in expected.items():
        if figure["protocol"]["kind"] != "timed":
            assert found[name] == figure, name


@needs_proc
def test_a_process_that_dies_is_named(tmp_path):
    kill = f"os.kill({CHILD}, signal.SIGKILL)"
    code, _, said = ended(start(*TWO, cwd=tmp_path, at=("generator", 6, kill)), timeout=LONG)
    assert code == 2, said
    assert f"process 1 of the run ended with code {-signal.SIGKILL}" in said
    assert Run(only(tmp_path / "runs/tiny")).status == "failed"


@needs_proc
def test_the_others_do_not_outlive_the_first(tmp_path):
    die = f"(Path.cwd() / 'child').write_text(str({CHILD})); os.kill(os.getpid(), signal.SIGKILL)"
    process = start(*TWO, cwd=tmp_path, at=("tokenizer", 6, die))
    assert ended(process, timeout=LONG)[0] == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 60
    while process_start(child) is not None:
        assert time.monotonic() < end, "it lives on"
        time.sleep(0.05)
