"""Atomic writes, locks, processes."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hybridgen.system.files import LockedError, atomic_path, holder, lock, process_start, remove_leftovers, write_atomic

HOLD = """
import sys, time
from pathlib import Path
from hybridgen.system.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def elsewhere(tmp_path, root):
    """A process that holds the lock tmp_path/x.lock."""
    path = tmp_path / "x.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout.readline() == b"held\n"
        yield path, process
        process.kill()


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_atomic(path, "long old text")
    write_atomic(path, "nü")
    assert path.read_text(encoding="utf-8") == "nü"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")

    def write():
        with atomic_path(path) as temporary:
            assert temporary.suffix == path.suffix, "writers choose a format by the suffix"
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_are_as_readable_as_any(tmp_path):
    (tmp_path / "plain").touch()
    write_atomic(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_leftovers_of_a_killed_writer_are_swept_up(tmp_path):
    with atomic_path(tmp_path / "last.ckpt") as temporary:
        temporary.write_bytes(b"x")
        name = temporary.name
    (tmp_path / name).write_bytes(b"torn")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_lock_names_its_holder(elsewhere):
    path, process = elsewhere
    assert holder(path).startswith(f"pid {process.pid} on ")
    with pytest.raises(LockedError, match=f"pid {process.pid} on "), lock(path, wait=False):
        pass


def test_a_lock_dies_with_its_holder(elsewhere):
    path, process = elsewhere
    said = []

    def kill(message):
        said.append(message)
        process.send_signal(signal.SIGKILL)

    begun = time.monotonic()
    with lock(path, waiting=kill):
        assert holder(path) == f"pid {os.getpid()} on {os.uname().nodename}"
    assert time.monotonic() - begun < 5
    assert len(said) == 1
    assert f"pid {process.pid}" in said[0]
    assert holder(path) == ""
    assert path.exists(), "deleting a lock file would let two hold it"


def test_processes_are_told_apart():
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    end = time.monotonic() + 10
    while process_start(child) is not None and time.monotonic() < end:
        time.sleep(0.05)
    assert process_start(child) is None, "a zombie is dead"
    os.waitpid(child, 0)
    assert process_start(child) is None
