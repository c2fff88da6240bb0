"""Processes that this one starts: what they import, and how many there may be."""

import os
import subprocess
import sys

import pytest
import torch

from hybridgen.cli import main
from hybridgen.system.child_processes import (
    OVERSUBSCRIBE,
    PACKAGE,
    check_count,
    child_environment,
    cores,
    import_settings,
)
from hybridgen.system.errors import UserError
from hybridgen.training.compute import Compute
from hybridgen.training.launch import together


@pytest.mark.parametrize(
    ("given", "passed"), [({}, []), ({"PYTHONPATH": ""}, []), ({"PYTHONPATH": ":/a::/b:"}, ["/a", "/b"])]
)
def test_no_empty_entry_of_the_path_is_passed_on(given, passed):
    assert import_settings(given)["PYTHONPATH"].split(os.pathsep) == [str(PACKAGE), *passed]


def test_a_child_imports_nothing_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    (tmp_path / "colorsys.py").write_text("raise SystemExit(9)")
    for words in (["-P", "-c", "import colorsys, hybridgen"], ["-c", "import colorsys, hybridgen"]):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=child_environment(), check=False)
        assert done.returncode == 0


def test_children_are_started_in_one_way():
    """Wherever this package starts itself or another Python program, the environment comes from one function."""
    for file in (PACKAGE / "hybridgen").rglob("*.py"):
        text = file.read_text()
        if "sys.executable" in text:
            assert "child_environment(" in text or "import_settings(" in text, file
        assert "PYTHONPATH" not in text or file.name == "child_processes.py", file


def test_more_processes_than_cores_are_refused_unless_said_twice(monkeypatch):
    monkeypatch.delenv(OVERSUBSCRIBE, raising=False)
    many = cores() + 1
    check_count(cores(), "--workers")
    refusal = pytest.raises(UserError, match=rf"compute\.devices: {many} processes, but there are {cores()} cores here")
    with refusal, together(Compute(devices=many), torch.device("cpu"), ()):
        pytest.fail("nothing is started")
    monkeypatch.setenv(OVERSUBSCRIBE, "1")
    check_count(many, "--workers")


def test_more_workers_than_cores_are_refused(monkeypatch, tmp_path, capsys):
    from tiny_run import SWEPT

    monkeypatch.delenv(OVERSUBSCRIBE, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "swept.yaml").write_text(SWEPT)
    assert main(["sweep", "swept.yaml", "--workers", "999"]) == 2
    assert "--workers: 999 processes" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_names_that_are_no_utf8_are_one_message(capsys):
    for raw in (b"\xfe", b"data.root=/data/\xff"):
        assert main(["sample", os.fsdecode(raw)]) == 2
        assert "is not valid UTF-8; rename the file or folder" in capsys.readouterr().err
