"""Whole files and one worker at a time: atomic writes, locks that die with their holder, processes that still live.

A run may be killed at any instant, so no reader may ever see half a file: what is written gets a temporary name in
the same folder, reaches the disk, and is then renamed. POSIX only (fcntl, rename over open files): Windows is left out.
"""

import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hybridgen.system.errors import UserError

POLL = 0.2  # seconds between two looks at a lock that somebody holds
TRIES = 4  # looks at a folder that others may be making or removing
ROOM = 1 << 16  # bytes; a disk with less is full
REMIND = 10.0  # seconds between two messages while waiting


class LockedError(UserError):
    """Somebody else holds the lock, and the caller did not want to wait."""


class CannotWriteError(UserError):
    """A file or folder cannot be made or written here; the user can name another place, or make room."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside this block an `OSError` means that `path` cannot be written, which is for the user to mend.

    So does any error while the disk is full: libraries raise errors of their own then.
    """
    try:
        yield
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror or error}") from error
    except Exception as error:
        if path.parent.is_dir() and shutil.disk_usage(path.parent).free < ROOM:
            raise CannotWriteError(f"cannot write {path}: no space is left on the device") from error
        raise


def make_folder(path: Path) -> None:
    """Makes a folder with all above it; one that is there already is left as it is.

    Raises:
        CannotWriteError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def check_writable(folder: Path, option: str) -> None:
    """Tries whether files can be written to `folder`, before any work is done; nothing is left behind.

    Args:
        folder: need not exist yet.
        option: what named it, such as "--out"; it begins the message.

    Raises:
        UserError: a folder cannot be made there, or no file can be written into it.
    """
    taken = next((path for path in (folder, *folder.parents) if os.path.isfile(path)), None)  # takes any name
    if taken is not None:
        raise CannotWriteError(f"{option}: {taken} is a file; name a folder")
    for left in reversed(range(TRIES)):
        try:
            return _try_to_write(folder)
        except OSError as error:
            if not left or not isinstance(error, FileNotFoundError | FileExistsError):
                raise CannotWriteError(f"{option}: cannot write to {folder}: {error.strerror or error}") from error
        time.sleep(POLL / 4)  # another process of this run may be trying the same


def _try_to_write(folder: Path) -> None:
    made: list[Path] = []
    try:
        for place in [*reversed(folder.absolute().parents), folder.absolute()]:
            if not place.is_dir():
                place.mkdir()
                made.append(place)
        probe = folder / f".{secrets.token_hex(4)}.tmp"
        probe.touch(exist_ok=False)
        probe.unlink()
    finally:
        for place in reversed(made):
            with suppress(OSError):  # another process may have begun to use it
                place.rmdir()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path (same folder, same suffix) for a writer; it takes the place of `path` when the block ends well.

    After a crash either the old file stands there or the new one, whole. When the block raises, nothing remains.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)  # the rename itself is on disk only when its folder is
        finally:
            with suppress(OSError):  # the error that came first is the one to report
                temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write the whole of `content` (text as UTF-8) or nothing."""
    try:
        raw = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        near = ascii(error.object[max(0, error.start - 20) : error.end])
        raise UserError(f"cannot write {path}: {near} is not valid UTF-8; rename the file or folder") from None
    with atomic_path(path) as temporary:
        temporary.write_bytes(raw)


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
    with writing(path):
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
