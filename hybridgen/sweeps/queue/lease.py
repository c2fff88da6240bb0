"""Which process works on a trial, and whether that process is still alive."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.sweeps.queue.storage import GRACE, beat, is_database, patiently, trial_id
from hybridgen.system.files import make_folder, process_start

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

OWNER = "owner"
SETTLING = 1.0  # seconds after which the worker that set a trial running has signed it


def owner() -> dict[str, Any]:
    """This process: its number may be given to another one later, so its start is part of it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": process_start(os.getpid())}


class Leases:
    """Signs of life of the workers of one study.

    A worker on this machine is alive while its process is. One on another machine gives signs: to the database, which
    has a heartbeat of its own, or to a file beside the journal.

    Args:
        storage: of the study.
        study: its number in the storage.
        folder: of the study; machines that share a journal share it.
    """

    def __init__(self, storage: "BaseStorage", study: int, folder: Path) -> None:
        self.storage, self.study, self.folder = storage, study, folder / "leases"

    def sign(self, trial: "Trial | FrozenTrial") -> Callable[[], None]:
        """The function that gives a sign of life for a trial that this process works on."""
        storage = self.storage
        if is_database(storage):
            return lambda: storage.record_heartbeat(self._id(trial))
        make_folder(self.folder)
        return (self.folder / str(trial.number)).touch

    def take(self, waiting: "FrozenTrial") -> bool:
        """Sets a waiting trial running and signs it; False where another worker was faster."""
        self.sign(waiting)()  # first: a worker that dies right after this is found by it
        if not self._begin(waiting):
            return False
        patiently(lambda: self.storage.set_trial_user_attr(self._id(waiting), OWNER, owner()))
        return True

    def has_died(self, trial: "FrozenTrial") -> bool:
        """Whether the worker of a running trial is known to be gone. A database's own heartbeat is not asked here."""
        who: Mapping[str, Any] | None = trial.user_attrs.get(OWNER)
        if who is not None and who["host"] == socket.gethostname():
            return process_start(who["pid"]) != who["start"]
        lease = self.folder / str(trial.number)
        if is_database(self.storage) or not lease.exists():
            return False
        now = self.folder / f".now.{os.getpid()}"
        now.touch()  # the clock of the file system, which both machines see
        late = now.stat().st_mtime - lease.stat().st_mtime > GRACE * beat()
        now.unlink(missing_ok=True)
        return late

    def _id(self, trial: "Trial | FrozenTrial") -> int:
        return trial_id(self.storage, self.study, trial)

    def _begin(self, waiting: "FrozenTrial") -> bool:
        """Whether this process, and no other, changed its state."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        attempts = 0

        def change() -> bool:
            nonlocal attempts
            attempts += 1
            return self.storage.set_trial_state_values(self._id(waiting), TrialState.RUNNING)

        try:
            won = patiently(change)
        except UpdateFinishedTrialError:
            return False
        if won or attempts == 1:
            return won
        time.sleep(SETTLING)  # the database did it and could not say so, or another worker did, who has signed by then
        found = patiently(lambda: self.storage.get_trial(self._id(waiting)))
        return found.state == TrialState.RUNNING and OWNER not in found.user_attrs
