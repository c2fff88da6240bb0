"""Run folders and their journals."""

import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from hybridgen.runs import journal
from hybridgen.runs.run import Run, runs_in
from hybridgen.system.errors import UserError
from hybridgen.system.files import LockedError


def make(root, experiment="demo", config=None):
    return Run.create(root, experiment, config or {"seed": 0}, {})


def test_two_at_once_never_share_a_folder(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: make(tmp_path), range(16)))
    assert len({run.path for run in runs}) == 16
    assert runs_in(tmp_path / "demo") == sorted((run.path for run in runs), key=_number)


def _number(path):
    day, second, *n = path.name.split("-")
    return day, second, int(n[0]) if n else 1


def test_a_run_says_what_it_is(tmp_path):
    config = {"model": {"width": 64, "betas": (0.9, 0.95)}, "lr": 1e-5, "name": "ü", "none": None}
    run = Run.create(tmp_path, "demo", config, {"lr": 1e-5})
    assert run.config == config | {"model": {"width": 64, "betas": [0.9, 0.95]}}
    assert run.delta == {"lr": 1e-5}
    assert run.experiment == "demo"
    assert run.status == "running"
    assert run.info["pid"] == os.getpid()
    assert run.info["versions"].keys() >= {"python", "hybridgen", "torch", "mlflow"}
    run.finish()
    assert run.status == "finished"
    assert run.info["ended"] >= run.info["started"]


def test_a_fixed_folder_is_made_once(tmp_path):
    path = tmp_path / "tokenizers" / "3f2a"
    first = Run.at(path, {"a": 1}, {})
    again = Run.at(path, {"a": 2}, {})
    assert again.config == {"a": 1}
    assert again.info["id"] == first.info["id"]


def test_the_later_processes_of_a_run_write_nothing(tmp_path):
    run = make(tmp_path)
    run.log(1, {"loss": 1.0}, "generator")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    other = Run(run.path, writes=False)
    with run.hold(), other.hold():
        other.resume()
        other.log(2, {"loss": 2.0}, "generator")
        other.rewind("generator", 0)
        other.link("tokenizer", run)
        other.finish("failed")
    (run.path / ".lock").unlink()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert other.metrics() == run.metrics(), "they read"


@pytest.mark.parametrize(
    "name", ["demo", "demo/{run}", "{root}/demo/{run}", "{root}/demo/{run}/config.yaml", "{root}/demo"]
)
def test_open_finds_the_run_that_is_meant(tmp_path, name):
    make(tmp_path)
    last = make(tmp_path)
    assert Run.open(name.format(run=last.name, root=tmp_path), tmp_path).path == last.path


@pytest.mark.parametrize(
    ("name", "says"),
    [("dmeo", "Did you mean 'demo'"), ("demo/2020", "known: demo/2"), ("x", "known: demo, other")],
)
def test_open_names_what_is_there(tmp_path, name, says):
    make(tmp_path)
    make(tmp_path, "other")
    with pytest.raises(UserError, match=says):
        Run.open(name, tmp_path)


def test_open_in_an_empty_place_says_how_to_begin(tmp_path):
    with pytest.raises(UserError, match="hybridgen train"):
        Run.open("demo", tmp_path / "nowhere")


def test_the_journal_keeps_what_was_logged(tmp_path):
    run = make(tmp_path)
    run.log(1, {"loss": 0.5, "bad": math.nan}, "generator")
    run.log(2, {"loss": 0.25}, "generator")
    first, second = run.metrics()
    assert (first["stage"], first["step"], first["values"]["loss"]) == ("generator", 1, 0.5)
    assert math.isnan(first["values"]["bad"])
    assert second["time"] >= first["time"]


def test_a_torn_line_is_left_out(tmp_path):
    run = make(tmp_path)
    run.log(1, {"loss": 1.0}, "generator")
    with run.metrics_file.open("a") as file:
        file.write('{"stage": "generator", "step": 2, "val')
    assert [line["step"] for line in run.metrics()] == [1]
    run.log(3, {"loss": 3.0}, "generator")
    assert [line["step"] for line in run.metrics()] == [1, 3]


def test_rewinding_one_stage_leaves_the_other(tmp_path):
    run = make(tmp_path)
    for step in range(4):
        run.log(step, {"loss": step}, "tokenizer")
        run.log(step, {"loss": step}, "generator")
    run.rewind("generator", 1)
    assert [line["step"] for line in run.metrics() if line["stage"] == "generator"] == [0, 1]
    assert [line["step"] for line in run.metrics() if line["stage"] == "tokenizer"] == [0, 1, 2, 3]
    run.rewind("generator", -1)
    assert {line["stage"] for line in run.metrics()} == {"tokenizer"}


def test_a_linked_tokenizer_shows_its_curves(tmp_path):
    tokenizer, run = Run.at(tmp_path / "tokenizers" / "ab", {}, {}), make(tmp_path)
    tokenizer.log(5, {"psnr": 21.0}, "tokenizer")
    run.link("tokenizer", tokenizer)
    run.log(0, {"ce": 3.0}, "generator")
    assert [line["stage"] for line in run.metrics()] == ["tokenizer", "generator"]


def test_a_run_whose_process_died_is_interrupted_until_resumed(tmp_path):
    run = make(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    run.note(pid=dead.pid)
    assert run.status == "interrupted"
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / ".last.0badc0de.tmp.ckpt").write_bytes(b"torn")
    run.resume()
    assert run.status == "running"
    assert list((run.path / "checkpoints").iterdir()) == []


def test_only_one_process_may_train_in_a_folder(tmp_path):
    run = make(tmp_path)
    with run.hold(), pytest.raises(LockedError, match=f"pid {os.getpid()}"), run.hold():
        pass
    with run.hold():
        assert run.status == "running"


def test_a_damaged_run_file_is_an_error_of_the_users(tmp_path):
    run = make(tmp_path)
    (run.path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json"):
        _ = run.status


def test_a_tail_reads_each_whole_line_once(tmp_path):
    file = tmp_path / "metrics.jsonl"
    tail = journal.Tail(file)
    assert tail.read() == []
    journal.append(file, 1, {"a": 1}, "s")
    half = json.dumps({"stage": "s", "step": 2, "time": 0, "values": {}})
    with file.open("a") as handle:
        handle.write(half[:10])
    assert [line["step"] for line in tail.read()] == [1]
    assert [line["step"] for line in tail.read()] == [1], "not delivered yet"
    tail.accept()
    assert tail.read() == []
    with file.open("a") as handle:
        handle.write(half[10:] + "\n")
    assert [line["step"] for line in tail.read()] == [2]


def test_a_tail_starts_again_after_a_rewind(tmp_path):
    file = tmp_path / "metrics.jsonl"
    for step in range(3):
        journal.append(file, step, {"a": 1}, "s")
    tail = journal.Tail(file)
    tail.read()
    tail.accept()
    journal.rewind(file, "s", 1)
    journal.append(file, 2, {"a": 1}, "s")
    assert [line["step"] for line in tail.read()] == [0, 1, 2]
