"""Who works on a trial, and whether they still live."""

import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.files import process_start
from hybridgen.sweeps.storage import GRACE, beat, is_database

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

OWNER = "owner"


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
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / str(trial.number)).touch

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
