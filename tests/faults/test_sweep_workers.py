"""Workers of a study that die, are many, or lose their database: no trial is lost, none is done twice."""

import signal
import tempfile
import time
from pathlib import Path

import pytest
from dummy_study import dummy, notes, states, worker
from postgres import Server

from hybridgen.sweeps.queue.launch import Workers, supervise
from hybridgen.sweeps.queue.study import TASK

pytestmark = pytest.mark.slow
FOREVER = "if number == {}: note(folder, number, 'stuck'); time.sleep(600)"
BRIEFLY = "time.sleep(0.02)"


def until(happened, *processes, timeout=120):
    """Waits until something has happened while all processes live."""
    end = time.monotonic() + timeout
    while not happened():
        for process in processes:
            assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def finished(*processes):
    """All have ended well."""
    for process in processes:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said


def whole(study, folder, total):
    """Each task is complete, its trial begun and done by one process alone."""
    assert states(study) == {"COMPLETE": total}
    counted = study.counted()
    assert [t.user_attrs[TASK] for t in counted] == list(range(total))
    assert sorted(notes(folder, "done")) == sorted(t.number for t in counted), "counted once, done once"
    begun = notes(folder, "begun")
    assert len(begun) == len(set(begun)), "no trial number was run twice"


def test_two_workers_and_a_journal(tmp_path):
    """50 trials between them."""
    pair = [worker(tmp_path, 50, act=BRIEFLY) for _ in range(2)]
    finished(*pair)
    study = dummy(tmp_path)
    whole(study, tmp_path, 50)
    assert len(study.trials()) == 50
    assert len({t.user_attrs["owner"]["pid"] for t in study.counted()}) == 2, "both had a share"


def test_kill_9_in_mid_trial_on_a_journal(tmp_path):
    """Another worker takes the trial over; it counts once."""
    first = worker(tmp_path, 4, act=FOREVER.format(1))
    until(lambda: notes(tmp_path, "stuck") == [1], first)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    study = dummy(tmp_path)
    assert states(study)["RUNNING"] == 1, "a journal has no heartbeat: Optuna would wait for ever"
    finished(worker(tmp_path, 4))
    whole(study, tmp_path, 4)
    assert len(study.trials()) == 5, "the lost trial and its second one"
    lost = next(t for t in study.trials() if t.number == 1)
    assert next(t for t in study.counted() if t.user_attrs[TASK] == lost.user_attrs[TASK]).params == lost.params


class Dummies(Workers):
    """Workers on the dummy study, started and replaced like real ones."""

    act = ""

    def _process(self, slot):
        process = worker(self.folder, 6, act=self.act)
        process.stderr.close()
        return process


def test_the_command_replaces_a_worker_that_was_killed(tmp_path):
    """It says so, starts another, and all tasks are done."""
    study, said = dummy(tmp_path), []
    crew = Dummies([], 1, tmp_path)
    crew.act = "if number == 2: os.kill(os.getpid(), 9)"
    found = supervise(study, crew, 6, said.append)
    assert (found.complete, found.failed, found.waiting, found.lost) == (6, 0, 0, 1)
    assert crew.deaths == 1
    assert any("trial 2: its worker is gone; the trial is begun again" in line for line in said)
    whole(study, tmp_path, 6)


def test_a_worker_that_is_killed_while_the_command_looks(tmp_path, monkeypatch):
    """In the last trial, just after the command has looked for lost ones: it looks again before it ends."""
    study, crew = dummy(tmp_path), Dummies([], 1, tmp_path)
    crew.act, recover = FOREVER.format(5), study.recover

    def killed_after():
        found = recover()
        for process in crew.alive.values() if notes(tmp_path, "stuck") and not crew.deaths else ():
            process.kill()
            process.wait()
        return found

    monkeypatch.setattr(study, "recover", killed_after)
    supervise(study, crew, 6, lambda line: None)
    whole(study, tmp_path, 6)


def test_workers_that_always_die_end_the_command(tmp_path):
    """It does not start them for ever."""
    crew = Dummies([], 1, tmp_path)
    crew.act = "os._exit(3)"
    found = supervise(dummy(tmp_path), crew, 6, lambda line: None)
    assert crew.worn_out
    assert found.waiting + found.failed == 6


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        made, opened = Server(Path(folder)), []
        made.study = lambda folder: opened.append(dummy(folder, made.url)) or opened[-1]
        yield made
        for study in opened:
            study.close()
        made.stop()


def test_two_workers_and_postgresql_restarted_under_them(tmp_path, server):
    """50 trials; the database goes away in the middle of them, and comes back."""
    study = server.study(tmp_path)
    study.open_tickets(50)
    pair = [worker(tmp_path, 50, server.url, "time.sleep(0.1)") for _ in range(2)]
    until(lambda: len(notes(tmp_path, "done")) > 5, *pair)
    server.restart()
    finished(*pair)
    whole(study, tmp_path, 50)


def test_kill_9_in_mid_trial_on_postgresql(tmp_path, server, monkeypatch):
    """Found dead by its heartbeat, as a worker on another machine would be."""
    monkeypatch.setenv("HYBRIDGEN_BEAT", "1")
    study = server.study(tmp_path)
    study.open_tickets(3)
    first = worker(tmp_path, 3, server.url, FOREVER.format(1))
    until(lambda: notes(tmp_path, "stuck") == [1], first)
    running = next(t for t in study.trials() if t.state.name == "RUNNING")
    study.note(running, "owner", running.user_attrs["owner"] | {"host": "elsewhere"})
    first.send_signal(signal.SIGKILL)
    first.communicate()

    def recovered():
        study.recover()
        return states(study).get("RUNNING", 0) == 0

    until(recovered)
    finished(worker(tmp_path, 3, server.url))
    whole(study, tmp_path, 3)
    assert len(study.trials()) == 4
