"""Whole files and one worker at a time: atomic writes, locks that die with their holder, processes that still live.

A run may be killed at any instant, so no reader may ever see half a file: what is written gets a temporary name in
the same folder, reaches the disk, and is then renamed. POSIX only (fcntl, rename over open files): Windows is left out.
"""

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridgen.system.errors import UserError

POLL = 0.2  # seconds between two looks at a lock that somebody holds
REMIND = 10.0  # seconds between two messages while waiting


class LockedError(UserError):
    """Somebody else holds the lock, and the caller did not want to wait."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path (same folder, same suffix) for a writer; it takes the place of `path` when the block ends well.

    After a crash either the old file stands there or the new one, whole. When the block raises, nothing remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)  # the rename itself is on disk only when its folder is
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write the whole of `content` (text as UTF-8) or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that killed writers left in `folder`; call it only while nobody writes there."""
    for leftover in folder.glob(".*.tmp*"):
        leftover.unlink(missing_ok=True)


@contextmanager
def lock(path: Path, waiting: Callable[[str], None] | None = None, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; at most one process on this machine does.

    The operating system frees it when the holder dies, kill -9 included (workers that the holder forked keep it until
    they end too). The file stays: deleting it would let two processes lock two files of one name.

    Args:
        path: the lock file; while held it names its holder.
        waiting: gets a sentence that names the holder when the wait begins, and again every 10 seconds.
        wait: False raises `LockedError` at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(handle, path, waiting, wait)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)  # frees the lock


def holder(path: Path) -> str:
    """Who holds the lock file, e.g. 'pid 12 on host'; empty when nobody does."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(handle)
    finally:
        os.close(handle)
    return ""


def process_start(pid: int) -> int | None:
    """When the process began, in clock ticks since boot: with `pid` it names a process for good. None: no such process.

    Where /proc is absent, 0 for every process that lives.
    """
    try:
        # the name in parentheses may hold blanks; state is the 1st field after it, start time the 20th
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _signalled(pid)
    return None if fields[0] in "ZX" else int(fields[19])


def _acquire(handle: int, path: Path, waiting: Callable[[str], None] | None, wait: bool) -> None:
    said = -REMIND
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{path} is held by {_named(handle)}"
        if not wait:
            raise LockedError(message)
        if waiting is not None and time.monotonic() - said >= REMIND:
            said = time.monotonic()
            waiting(f"waiting: {message}")
        time.sleep(POLL)


def _named(handle: int) -> str:
    return os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"


def _signalled(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
