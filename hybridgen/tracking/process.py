"""MLflow beside training, never in its way.

Training writes files and nothing else. A process of its own, niced, mirrors the run folder to MLflow
(`hybridgen track sync RUN --follow PID`): a store that is slow, down, hung or full costs the training process
nothing, because it never talks to it. What could not be sent stays in the folder; `sync_pending`, which commands call
when they start, sends it later, and so does `hybridgen track sync RUN`.
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hybridgen.runs.run import Run, all_runs, experiments_in, readable
from hybridgen.system.child_processes import child_environment
from hybridgen.system.files import holder, process_start
from hybridgen.tracking.sync import MIRROR_LOCK, has_answered, has_pending


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Where runs are mirrored to.

    Args:
        uri: an MLflow tracking URI, e.g. http://host:5000; null stands for the SQLite file mlflow.db among the runs.
        enabled: false keeps MLflow out; the run folder is written all the same.
    """

    uri: str | None = None
    enabled: bool = True


def store_uri(root: Path, uri: str | None = None) -> str:
    """The tracking URI, independent of the working directory."""
    return uri or f"sqlite:///{root.absolute() / 'mlflow.db'}"


def root_of(run: Run) -> Path:
    """The runs folder that a run lies in."""
    return run.root


class Mirror:
    """A process that sends a run to MLflow; it goes on when this one ends, and is not stopped by Ctrl-C.

    Args:
        run: the run that it sends.
        uri: the store.
        pid: the process; 0 when tracking is off.
    """

    def __init__(self, run: Run, uri: str, pid: int) -> None:
        self.run, self.uri, self.pid = run, uri, pid

    @property
    def reached(self) -> bool:
        """Whether the store has answered, so that waiting for it makes sense."""
        return self.pid == 0 or has_answered(self.run, self.uri)

    def wait(self, seconds: float) -> bool:
        """Wait for at most `seconds` until all that the folder holds is sent; True if so.

        False at once when the mirror has given up: the store did not answer, and a later command sends the rest.
        """
        end = time.monotonic() + seconds
        while self.pid:
            working = process_start(self.pid) is not None  # asked first: it may finish between the two questions
            if not has_pending(self.run, self.uri):
                return True
            if not working or time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True


def start_mirror(run: Run, settings: Tracking) -> Mirror:
    """Start mirroring `run`, which this process trains; returns at once, whatever state the store is in."""
    uri = store_uri(root_of(run), settings.uri)
    if not settings.enabled:
        return Mirror(run, uri, 0)
    return Mirror(run, uri, _spawn([str(run.path), "--follow", str(os.getpid())], uri, run.path / "tracking.log"))


def sync_pending(root: Path, settings: Tracking) -> list[Run]:
    """Start sending what earlier runs under `root` could not send, in one process of its own; says which runs."""
    if not settings.enabled:
        return []
    uri = store_uri(root, settings.uri)
    runs = readable(path for experiment in experiments_in(root) for path in all_runs(root / experiment))
    pending = [run for run in runs if has_pending(run, uri) and _is_idle(run)]
    if pending:
        _spawn([str(run.path) for run in pending], uri, root / "tracking.log")
    return pending


def _is_idle(run: Run) -> bool:
    """Whether nobody trains or sends it now."""
    return run.status != "running" and not holder(run.path / MIRROR_LOCK)


def _spawn(arguments: list[str], uri: str, log: Path) -> int:
    """The pid of `hybridgen track sync` in a session of its own.

    By posix_spawn: forking a process that holds a large model is slow, and a Popen object wants to be waited for.
    `-P` keeps files in the working directory from standing in for modules.
    """
    command = [sys.executable, "-P", "-m", "hybridgen", "track", "sync", *arguments, "--uri", uri]
    outputs = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(sys.executable, command, child_environment(), file_actions=outputs, setsid=True)
