"""The command that runs a study: starts workers, shows how it stands, replaces the dead, stops cleanly."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from hybridgen.sweeps.queue.lease import OWNER
from hybridgen.sweeps.queue.live import shown
from hybridgen.sweeps.queue.study import Study
from hybridgen.sweeps.queue.view import Standing, standing
from hybridgen.system.child_processes import child_environment, cores

POLL = 0.5  # seconds between two looks
REPLACED = 3  # workers that may die for each that was asked for
STOPPING = 60.0  # seconds that a worker has to write its checkpoint


@runtime_checkable
class Process(Protocol):
    """A worker at work, by the names of `subprocess.Popen`."""

    def poll(self) -> int | None:
        """How it ended; None before."""

    def send_signal(self, sig: int, /) -> None:
        """Asks it to stop."""

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended, or raises `TimeoutExpired`."""

    def kill(self) -> None:
        """Ends it without asking."""


class Workers:
    """Processes that work on a study; each is started with the same words and writes a log of its own.

    Args:
        words: the command line of a worker, without the program.
        count: how many.
        folder: of the study.
    """

    def __init__(self, words: Sequence[str], count: int, folder: Path) -> None:
        self.words, self.count, self.folder = [*words], count, folder
        self.alive: dict[int, Process] = {}
        self.deaths = 0

    def start(self, wanted: int) -> None:
        """As many as `wanted`, at most `count`, of which those alive are some."""
        for slot in range(min(wanted, self.count)):
            if slot not in self.alive:
                self.alive[slot] = self._process(slot)

    def busy(self, study: Study) -> int:
        """How many of them have a trial in work."""
        pids = {process.pid for process in self.alive.values() if isinstance(process, subprocess.Popen)}
        here = socket.gethostname()
        owners = [t.user_attrs.get(OWNER, {}) for t in study.counted() if t.state.name == "RUNNING"]
        return sum(who.get("host") == here and who.get("pid") in pids for who in owners)

    def look(self) -> None:
        """Forget those that have ended; those that a signal ended, or an error of ours, count as deaths."""
        for slot, process in [*self.alive.items()]:
            code = process.poll()
            if code is not None:
                self.deaths += code != 0
                del self.alive[slot]

    def stop(self) -> None:
        """Ask all to write their checkpoints and end; those that do not are killed."""
        for process in self.alive.values():
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + STOPPING
        for process in self.alive.values():
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.alive.clear()

    @property
    def worn_out(self) -> bool:
        """Whether so many died that something is wrong with all."""
        return self.deaths >= REPLACED * self.count

    def log(self, slot: int) -> Path:
        """What a worker says."""
        return self.folder / f"worker-{slot}.log"

    def last_words(self) -> str:
        """What the first of them said."""
        return self.log(0).read_text(errors="replace")

    def _process(self, slot: int) -> Process:
        environment = child_environment(**shares(slot, self.count))
        command = [sys.executable, "-P", "-m", "hybridgen", *self.words]
        with self.log(slot).open("ab") as log:
            # a session of its own: Ctrl-C reaches it through us, once
            return subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )


def threads_each(count: int) -> int:
    """The threads of each of `count` workers, where OMP_NUM_THREADS does not say."""
    return max(1, cores() // count)


def shares(slot: int, count: int) -> dict[str, str]:
    """Variables of a worker: its share of the cores, and of the GPUs where there are some."""
    import torch

    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads_each(count)))}
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    devices = named or [str(i) for i in range(torch.cuda.device_count())]
    if devices and count > 1:
        environment["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return environment


def supervise(
    study: Study, workers: Workers, total: int | None, say: Callable[[str], None], until: float | None = None
) -> Standing:
    """Runs workers until nothing waits; how the study then stands.

    Args:
        study: what they work on.
        workers: not started yet.
        total: trials; None for as many as begin before `until`.
        say: takes a line, where there is no live view.
        until: time on the clock after which no trial begins.

    Raises:
        KeyboardInterrupt: the user stopped it; the workers have ended, and the trials in work are open again.
    """
    try:
        with shown(say) as show:
            while True:
                workers.look()  # first: whoever is missed here is still counted as alive when all seems done
                lost = study.recover()
                waiting = study.open_tickets(total or 0)
                found = standing(study, total or 0)
                for trial in lost:
                    say(f"trial {trial.number}: its worker is gone; the trial is begun again")
                late = until is not None and time.time() > until
                if workers.worn_out or late or not (waiting or total is None):
                    if not workers.alive:
                        return found
                else:
                    workers.start(workers.count if total is None else workers.busy(study) + waiting)
                show(found)
                time.sleep(POLL)
    except KeyboardInterrupt:
        say("stopping: workers write their checkpoints")
        workers.stop()
        study.recover()
        raise
