"""Workers as jobs of a cluster, through submitit: on Slurm, or on this machine to try it out.

A job becomes its worker by exec, so the cluster's signals reach the worker itself and its log is the job's log.
submitit hands a job over by pickle: that of `os.execv` and of words. What comes back is a file that the worker leaves
when it has ended well, so nothing is ever unpickled here, and no accounting of the cluster is needed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hybridgen.sweeps.queue.launch import Workers
from hybridgen.sweeps.queue.study import Study
from hybridgen.system.child_processes import import_settings
from hybridgen.system.errors import UserError

LIMIT = 240  # minutes of a job, where --job timeout_min says nothing; the next one goes on from its checkpoints
JOBS = "jobs"  # folder of scripts and logs, in the study's


def jobs(settings: Mapping[str, Any]) -> "Callable[[Sequence[str], int, Path], Jobs]":
    """What makes workers of submitit's jobs; `settings` are submitit's, `cluster` (slurm, local) among them.

    Raises:
        UserError: submitit, Slurm or a setting of that name is not there; nothing was written.
    """
    with tempfile.TemporaryDirectory() as folder:
        _executor(Path(folder), settings)
    return partial(Jobs, settings=settings)


class Jobs(Workers):
    """Workers that a cluster starts when it has room.

    Args:
        words: the command line of a worker, without the program.
        count: how many jobs, at most.
        folder: of the study; the jobs must see it.
        settings: submitit's parameters of a job.
    """

    def __init__(self, words: Sequence[str], count: int, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(words, count, folder)
        self.executor = _executor(folder / JOBS, settings)

    def busy(self, study: Study) -> int:
        """As many as trials are in work anywhere: which of them are ours, the cluster does not say."""
        return min(len(self.alive), sum(trial.state.name == "RUNNING" for trial in study.counted()))

    def last_words(self) -> str:
        """Of the job that ended last."""
        logs = sorted((self.folder / JOBS).glob("*.err"), key=lambda path: path.stat().st_mtime)
        return logs[-1].read_text(errors="replace") if logs else ""

    def log(self, slot: int) -> Path:
        """The folder of what all of them say."""
        return self.folder / JOBS

    def _process(self, slot: int) -> "Job":
        ended = self.folder / JOBS / f"ended-{uuid.uuid4().hex[:12]}"
        program = [sys.executable, "-P", "-m", "hybridgen", *self.words, "--ended", str(ended.absolute())]
        imports = [f"{name}={value}" for name, value in import_settings().items()]
        return Job(self.executor.submit(os.execv, "/usr/bin/env", ["env", *imports, *program]), ended)


class Job:
    """One job, with what `Workers` asks of a process.

    Args:
        job: submitit's.
        ended: the file that its worker leaves when it has ended well.
    """

    def __init__(self, job: Any, ended: Path) -> None:
        self.job, self.ended = job, ended

    def poll(self) -> int | None:
        """0 when the worker ended well, 1 when the job is gone without that, None before."""
        gone = self.job.done()
        return 0 if self.ended.exists() else 1 if gone else None

    def send_signal(self, number: int) -> None:
        """Asks it to stop, whatever the number: SIGTERM on either cluster, which the worker takes for a Ctrl-C."""
        from submitit import LocalJob

        if isinstance(self.job, LocalJob):  # its own `cancel` leaves the worker a second
            os.kill(int(self.job.job_id), signal.SIGTERM)
        else:
            self.job.cancel(check=False)

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended; raises `TimeoutExpired` as a process does."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("job", timeout or 0.0)
            time.sleep(0.2)
        return code

    def kill(self) -> None:
        """Ends it without asking."""
        self.job.cancel(check=False)


def _executor(folder: Path, settings: Mapping[str, Any]) -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError("--launcher submitit: needs the extra 'slurm': pip install 'hybridgen[slurm]'") from None
    chosen = {"name": "hybridgen", "timeout_min": LIMIT, **settings}
    cluster = chosen.pop("cluster", "slurm")
    hint = "--job cluster=local tries it out on this machine"
    if cluster == "slurm" and shutil.which("srun") is None:
        raise UserError(f"--launcher submitit: there is no Slurm here (no srun on the path)\n  {hint}")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of names that it once had
            executor.update_parameters(**chosen)
    except (RuntimeError, ValueError, NameError, AssertionError, TypeError, UserWarning) as error:
        raise UserError(f"--job: {error}") from None
    return executor
