"""Where a study is kept: what cannot exist is said at once, what may pass is waited for and said."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hybridgen.sweeps.queue import storage
from hybridgen.sweeps.queue.storage import may_pass, open_storage, patiently
from hybridgen.system.child_processes import child_environment
from hybridgen.system.errors import UserError


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x.db", "sqlite:///{here}", "sqlite:///{here}/notes.txt"])
def test_a_database_that_cannot_exist_is_said_at_once(url, tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, but some text that is long enough to look at" * 20)
    begun = time.monotonic()
    with pytest.raises(UserError, match="the database cannot be used: "):
        open_storage(url.format(here=tmp_path), tmp_path)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("path", ["/proc/nowhere/x.log", "{here}", "{here}/file/x.log"])
def test_a_journal_that_cannot_be_written_is_one_message(path, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        open_storage(path.format(here=tmp_path), tmp_path)


def test_a_damaged_journal_is_one_message(tmp_path):
    (tmp_path / "x.log").write_text('[]\n{"op_code": 99}\nnothing\n{}\n')
    with pytest.raises(UserError, match=r"x\.log: not a whole journal"):
        open_storage(str(tmp_path / "x.log"), tmp_path)


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        ("database is locked", True),
        ("connection refused", True),
        ("server closed the connection unexpectedly", True),
        ("Temporary failure in name resolution", True),
        ('FATAL:  password authentication failed for user "x"', False),
        ('FATAL:  database "x" does not exist', False),
        ("attempt to write a readonly database", False),
    ],
)
def test_which_errors_may_pass(reason, passes):
    assert may_pass(reason) == passes


def test_waiting_is_said_once_after_the_first_retry(monkeypatch):
    from sqlalchemy.exc import OperationalError

    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    said, failures = [], [OperationalError("x", {}, Exception("database is locked")) for _ in range(4)]

    def call():
        if failures:
            raise failures.pop()
        return 3

    assert patiently(call, said.append) == 3
    assert said == ["the database does not answer (database is locked); trying again for 5 minutes"]


WAITING = """
import time
from hybridgen.training.interrupt import as_ctrl_c
with as_ctrl_c():
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("ignored", [False, True])
def test_sigterm_ends_the_waiting_in_the_background_too(ignored):
    """A shell that starts a command in the background makes it ignore Ctrl-C."""
    silenced = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITING], env=child_environment(), preexec_fn=silenced,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert waiting.stdout.readline() == "ready\n"
    os.kill(waiting.pid, signal.SIGTERM)
    _, err = waiting.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
