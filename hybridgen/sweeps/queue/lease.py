"""Who works on a trial, and whether they still live."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.sweeps.queue.storage import GRACE, beat, is_database, patiently
from hybridgen.system.files import make_folder, process_start

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

OWNER = "owner"
SETTLING = 1.0  # seconds after which whoever put a trial to work has signed it


def owner() -> dict[str, Any]:
    """This process, named for good."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": process_start(os.getpid())}


class Leases:
    """Signs of life of the workers of one study.

    A worker on this machine is asked for by its process. One on another machine gives signs: to the database, which has
    a heartbeat of its own, or to a file beside the journal.

    Args:
        storage: of the study.
        folder: of the study; shared between machines where a journal is.
    """

    def __init__(self, storage: "BaseStorage", folder: Path) -> None:
        self.storage, self.folder = storage, folder / "leases"

    def sign(self, trial: "Trial | FrozenTrial") -> Callable[[], None]:
        """What gives a sign of life for a trial that this process works on."""
        if is_database(self.storage):
            return lambda: self.storage.record_heartbeat(trial._trial_id)  # type: ignore[attr-defined]
        make_folder(self.folder)
        return (self.folder / str(trial.number)).touch

    def take(self, waiting: "FrozenTrial") -> bool:
        """Puts a waiting trial to work and signs it; False where another worker was faster."""
        self.sign(waiting)()  # first: who dies right after this is found by it
        if not self._begin(waiting):
            return False
        patiently(lambda: self.storage.set_trial_user_attr(waiting._trial_id, OWNER, owner()))
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
        now.touch()  # by the clock of the file system, which both machines see
        late = now.stat().st_mtime - lease.stat().st_mtime > GRACE * beat()
        now.unlink(missing_ok=True)
        return late

    def _begin(self, waiting: "FrozenTrial") -> bool:
        """Whether this process, and no other, changed its state."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        attempts = 0

        def change() -> bool:
            nonlocal attempts
            attempts += 1
            return self.storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)

        try:
            won = patiently(change)
        except UpdateFinishedTrialError:
            return False
        if won or attempts == 1:
            return won
        time.sleep(SETTLING)  # the database did it and could not say so, or another worker did, who has signed by then
        found = patiently(lambda: self.storage.get_trial(waiting._trial_id))
        return found.state == TrialState.RUNNING and OWNER not in found.user_attrs
