"""The files of a run folder are checked when they are read back: one message, and the neighbours do not suffer."""

import json

import pytest
import torch

from hybridgen.cli import main
from hybridgen.cli.ui import _experiment
from hybridgen.comparison.entries import readable_figures
from hybridgen.runs import journal
from hybridgen.runs.run import Run, find_weights, readable, runs_in
from hybridgen.system.errors import UserError
from hybridgen.tracking.process import Tracking, sync_pending
from hybridgen.tracking.sync import has_pending
from hybridgen.training.stage import steps_in

INFO = {"id": "a", "status": "interrupted", "started": 1.0, "ended": None, "pid": 1, "pid_start": 0, "host": "h"}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the experiment x, without its libraries' help."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs/x/20260101-000000"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(INFO))
    (folder / "config.yaml").write_text("seed: 0\n")
    (folder / "delta.yaml").write_text("{}\n")
    return Run(folder)


def said(capsys, *words):
    """What a command that is refused says."""
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON"),
        ("{}", "lacks ended, host, id, pid, pid_start, started, status"),
        ("[]", "holds a list"),
        ('{"status": "running"}', "lacks ended"),
        (json.dumps(INFO | {"status": "odd"}), "status is 'odd', not one of running"),
        (json.dumps(INFO | {"pid": "1"}), 'pid is "1"'),
        (json.dumps(INFO | {"started": True}), "started is true"),
        (json.dumps(INFO | {"links": {"tokenizer": 3}}), "links holds"),
        ("\udcff", "not valid JSON"),
    ],
)
def test_a_damaged_run_json_is_one_message(run, capsys, text, problem):
    file = run.path / "run.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    for words in (("resume", "x"), ("compare", "x", str(run.path)), ("sample", "x"), ("track", "sync", "x")):
        err = said(capsys, *words)
        assert err.startswith(f"{file.relative_to(run.path.parents[2])}: damaged") or str(file) in err
        assert problem in err
        assert "put the file back from a copy, or move the folder" in err


@pytest.mark.parametrize("text", ["seed: [\n", "- 1\n", "a: !!python/name:os.system ''\n", None])
def test_a_damaged_or_missing_config_is_one_message(run, capsys, text):
    file = run.path / "config.yaml"
    file.unlink() if text is None else file.write_text(text)
    assert f"{file}: damaged: " in said(capsys, "resume", "x")


def test_a_damaged_neighbour_is_left_out_with_a_warning(run, capsys):
    other = run.path.parent.parent / "old/20250101-000000"
    other.mkdir(parents=True)
    (other / "run.json").write_text("")
    assert [found.path for found in readable([other, run.path])] == [run.path]
    assert "warning: " in capsys.readouterr().err
    assert _experiment(run.root, None) == "x"
    assert sync_pending(run.root, Tracking(enabled=False)) == []
    assert len(runs_in(run.root / "old")) == 1


def test_a_damaged_summary_is_left_out_of_tables(run, capsys):
    run.summary.write_text("{")
    assert readable_figures(run) == {}
    assert "summary.json: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", '{"sqlite:///x": 3}', '{"sqlite:///x": {"files": []}}', "{"])
def test_a_damaged_memory_of_the_mirror_counts_as_none(run, text):
    (run.path / "tracking.json").write_text(text)
    assert has_pending(run, "sqlite:///x")


def test_lines_of_other_types_count_as_torn():
    good = '{"stage": "generator", "step": 1, "time": 5, "values": {"loss": NaN, "odd": "text"}}'
    lines = journal.parse(
        "\n".join([good, "[]", good.replace("1,", '"1",'), good.replace('{"loss": NaN, "odd"', '[{"a"')])
    )
    assert [line["values"].keys() for line in lines] == [{"loss"}]


@pytest.mark.parametrize("held", [b"", b"PK\x03\x04", {"state_dict": {}}, [1], {"global_step": "1"}])
def test_a_damaged_checkpoint_says_how_to_go_on(tmp_path, held):
    file = tmp_path / "last.ckpt"
    file.write_bytes(held) if isinstance(held, bytes) else torch.save(held, file)
    with pytest.raises(UserError, match="delete the file, and the stage begins anew"):
        steps_in(file)


def test_inside_a_run_folder_names_are_looked_up(run, capsys, monkeypatch):
    monkeypatch.chdir(run.path)
    assert "unknown run 'nonsense'" in said(capsys, "sample", "nonsense", "--runs", "../..")
    assert "unknown run ''" in said(capsys, "sample", "", "--runs", "../..")
    assert Run.open("config.yaml", run.root).path == run.path, "a file in it was named"
    assert Run.open(".", run.root).path == run.path


def test_a_run_comes_before_a_file_of_its_name(run, tmp_path):
    (tmp_path / "x").write_text("notes")
    run.model.write_text("weights")
    assert find_weights("x") == run.model
    (tmp_path / "weights").write_text("")
    assert str(find_weights("weights")) == "weights"


def test_a_path_with_dots_is_the_same_run(run, tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    found = Run.open("../runs/x/20260101-000000")
    assert (found.path, found.root, found.experiment) == (run.path, run.root, "x")
    (tmp_path / "latest").symlink_to(run.path)
    assert Run.open(tmp_path / "latest").root == run.root
