"""Where a study is kept: a journal file by default, a database by its URL; both outlive a lost connection.

Optuna's journal has no heartbeat: there the owner's lease (lease.py) says who still works. A database has Optuna's own.
Of Optuna only what it documents is used: a trial is known by its number, and its id is asked of the storage.
"""

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from hybridgen.system.errors import UserError, warn
from hybridgen.system.files import writing

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial

BEAT = 30.0  # seconds between two signs of life
GRACE = 4  # beats without a sign after which a worker counts as dead
PATIENCE = 300.0  # seconds for which a database may be away
JOURNAL = "journal.log"
# What SQLite, PostgreSQL and MySQL say of a database that no waiting brings: no such file, name, role or right.
LASTING = (
    "unable to open database file", "file is not a database", "readonly database", "disk image is malformed",
    "does not exist", "unknown database", "authentication failed", "access denied", "permission denied",
    "no password supplied", "no pg_hba.conf entry", "name or service not known", "nodename nor servname",
)  # fmt: skip
BEAT_VARIABLE = "HYBRIDGEN_BEAT"  # seconds, for tests

T = TypeVar("T")


def beat() -> float:
    """Seconds between two signs of life."""
    return float(os.environ.get(BEAT_VARIABLE, BEAT))


def open_storage(url: str | None, folder: Path) -> "BaseStorage":
    """The storage of a URL such as postgresql+psycopg://user@host/base or sqlite:///file.db, or of a journal file.

    Args:
        url: a database's URL, the path of a journal file, or None for the journal in `folder`.
        folder: the study's.

    Raises:
        UserError: the URL does not serve, or its driver is not installed.
    """
    quiet()
    from optuna.storages import RDBStorage

    if url is None or "://" not in url:
        return _open_journal(Path(url) if url is not None else folder / JOURNAL)
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    whole = max(1, round(beat()))
    engine = {"pool_pre_ping": True}
    try:
        return patiently(
            lambda: RDBStorage(url, engine_kwargs=engine, heartbeat_interval=whole, grace_period=GRACE * whole)
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise UserError(f"--storage {url}: not a URL of a database: {error}") from error
    except (SQLAlchemyError, RuntimeError) as error:  # a file that is no database, tables of another program
        raise UserError(f"--storage {url}: the database cannot be used: {_reason(error)}") from error
    except ImportError as error:
        hint = "pip install 'hybridgen[sweep-db]' brings PostgreSQL's: postgresql+psycopg://…"
        raise UserError(f"--storage {url}: its driver is not installed ({error})\n  {hint}") from error


def _open_journal(file: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return JournalStorage(JournalFileBackend(str(file)))
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(f"--storage: {file}: not a whole journal of a study ({error!r})") from error


def patiently(call: Callable[[], T], say: Callable[[str], None] = warn) -> T:
    """What `call` gives; tried again for minutes while its database is away.

    Args:
        call: may fail and be called again.
        say: is told once, after the first retry, that the wait goes on.

    Raises:
        UserError: the database cannot exist or refuses us, which no waiting changes; or it has been away too long.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError

    end, pause, failures = time.monotonic() + PATIENCE, 0.2, 0
    while True:
        try:
            return call()
        except (StorageInternalError, OperationalError, InterfaceError) as error:
            reason = _reason(error)
            if not may_pass(reason):
                raise UserError(f"--storage: the database cannot be used: {reason}") from error
            if time.monotonic() > end:
                raise UserError(f"--storage: the database does not answer: {reason}") from error
            failures += 1
            if failures == 2:
                say(f"the database does not answer ({reason}); trying again for {PATIENCE / 60:g} minutes")
        time.sleep(pause)
        pause = min(2 * pause, 10.0)


def may_pass(reason: str) -> bool:
    """Whether an error of a database may be gone the next time: it is away or busy, not wrong."""
    return not any(words in reason.lower() for words in LASTING)


def _reason(error: BaseException) -> str:
    """The first line of what the driver itself said; optuna and SQLAlchemy wrap it."""
    while error.__cause__ is not None or getattr(error, "orig", None) is not None:
        error = getattr(error, "orig", None) or error.__cause__ or error
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def alive(sign: Callable[[], None]) -> Iterator[None]:
    """Gives a sign of life every `beat()` seconds, in a thread, while the block runs."""
    ended = threading.Event()

    def give() -> None:
        while True:
            try:
                sign()
            except Exception:  # the database is away, or the trial was taken from us; the worker notices itself
                logging.getLogger(__name__).debug("no sign of life could be given", exc_info=True)
            if ended.wait(beat()):
                return

    thread = threading.Thread(target=give, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def quiet() -> None:
    """Optuna logs errors alone, and does not warn that a feature is experimental."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def trial_id(storage: "BaseStorage", study: int, trial: "Trial | FrozenTrial") -> int:
    """The id by which the storage knows a trial of a study."""
    return storage.get_trial_id_from_study_id_trial_number(study, trial.number)


def is_database(storage: "BaseStorage") -> "TypeGuard[RDBStorage]":
    """Whether it is one, with a heartbeat of its own."""
    from optuna.storages import RDBStorage

    return isinstance(storage, RDBStorage)
