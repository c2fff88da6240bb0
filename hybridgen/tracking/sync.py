"""The mirror: reads a run folder as it grows and sends it to MLflow, each value once.

Its memory is `tracking.json` in the run folder, written after each delivery: for every store the ids that it gave, the
last step sent of each value, the files sent. A value counts as sent by (stage, name, step), so a resumed run, which
rewinds its metrics and writes some steps again, adds no doubles. Killed between a delivery and the note of it, the
mirror sends that batch again with the same time stamps, and an SQL store keeps one copy.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridgen.media.embed import SUFFIXES
from hybridgen.runs.journal import Tail
from hybridgen.runs.run import Run
from hybridgen.system.files import CannotWriteError, LockedError, lock, process_start, write_atomic
from hybridgen.tracking.store import Point, Store

MIRROR_LOCK = ".tracking.lock"
PERIOD = 3.0  # seconds between two deliveries while the run goes on
PAUSES = (2.0, 5.0, 15.0, 60.0)  # seconds after the first, second, ... failure in a row
TRIES_AFTER = 2  # failures in a row, once the run has ended, after which the rest is left to a later command
ALWAYS = ("config.yaml", "delta.yaml", *(f"samples/**/*{suffix}" for suffix in SUFFIXES))
AT_THE_END = (*(f"*{suffix}" for suffix in SUFFIXES), "summary.json", "report.html", "model.safetensors")

Say = Callable[[str], None]


def mirror(run: Run, uri: str, follow: int | None = None, say: Say = print) -> bool:
    """Send all of `run`; with `follow`, go on until that process has ended. True when everything was delivered."""
    begun = process_start(follow) if follow else None
    try:
        with lock(run.path / MIRROR_LOCK, waiting=say, wait=follow is not None):
            return _Mirror(run, uri, say).work(lambda: follow is not None and _trains(run, follow, begun))
    except LockedError as error:
        say(f"{run.experiment}/{run.name} is being sent already: {error}")
        return False


def has_pending(run: Run, uri: str) -> bool:
    """Whether the folder holds what the store `uri` has not got yet. Reads two small files; asks no store."""
    known = _read_state(run.path).get(uri, {})
    if known.get("refused"):
        return False
    if any(has_pending(child, uri) for child in run.children if child.status != "running"):
        return True
    status = run.status
    if known.get("sent_bytes") != [_size(file) for file in run.sources()] or known.get("status") != status:
        return True
    return status != "running" and any(
        known.get("files", {}).get(name) != mark for name, mark in _files(run, AT_THE_END)
    )


def has_answered(run: Run, uri: str) -> bool:
    """Whether the store `uri` has taken something of this run, and its last answer was no failure."""
    known = _read_state(run.path).get(uri, {})
    return "sent_bytes" in known and not known.get("failing")


class _Mirror:
    """One run on its way to one store.

    Args:
        run: the run.
        uri: the store's tracking URI.
        say: takes a line for the log.
        parent: id that the store gave the run's parent; a study's trials have one.
    """

    def __init__(self, run: Run, uri: str, say: Say, parent: str = "") -> None:
        self.run, self.uri, self.say, self.parent = run, uri, say, parent
        self.everything = _read_state(run.path)
        self.state: dict[str, Any] = self.everything.setdefault(uri, {})
        self.state.pop("refused", None)
        self.begin()

    def begin(self) -> None:
        """Go on from what the state says; the metrics are read from the start, which costs little."""
        self.sent: dict[str, int] = self.state.setdefault("sent", {})  # "stage name" -> last step
        self.files: dict[str, list[int]] = self.state.setdefault("files", {})  # path -> [size, time of change]
        self.tails: dict[Path, Tail] = {}
        self.store: Store | None = None

    def work(self, trains: Callable[[], bool]) -> bool:
        """Deliver until `trains` says no and all is sent (True), or until there is no sense in going on (False)."""
        failures = 0
        while True:
            alive = trains()  # asked before sending, so that the last look comes after the last word of the run
            try:
                self.deliver(ended=not alive)
            except Exception as error:  # whatever a store raises: nothing here may end in a traceback
                failures += 1
                if self.gives_up(error, failures, alive):
                    return False
            else:
                failures = 0
                if not alive:
                    return True
            self.sleep(PAUSES[min(failures, len(PAUSES)) - 1] if failures else PERIOD, trains if alive else None)

    def deliver(self, ended: bool) -> None:
        """Send what is new; when the run has ended, also its results and how it ended."""
        store = self.store or Store(self.uri, self.run, self.parent)
        if self.store is None:
            store.open(self.state)
            self.store = store
        if self.state.get("failing"):
            self.note(failing=None)
        self.tails = {file: self.tails.get(file) or Tail(file) for file in self.run.sources()}  # links come later
        for tail in self.tails.values():
            self.send_lines(store, tail)
        self.note_sizes(ended)
        for name, mark in _files(self.run, ALWAYS + (AT_THE_END if ended else ())):
            if self.files.get(name) != mark:
                store.send_file(self.state, self.run.path / name, name)
                self.files[name] = mark
                self.note()
        self.send_children()
        status = self.run.status
        if self.state.get("status") != status:
            store.set_status(self.state, status)
            self.note(status=status)

    def send_children(self) -> None:
        """Send the trials that have ended, each as a run of its own below this one."""
        for child in self.run.children:
            if child.status != "running" and has_pending(child, self.uri):
                _Mirror(child, self.uri, self.say, self.state["runs"][""]).deliver(ended=True)

    def send_lines(self, store: Store, tail: Tail) -> None:
        """Send the values of the new lines, stage by stage; note them after each block."""
        while lines := tail.read():
            points: dict[str, list[Point]] = {}
            marks = dict(self.sent)
            for line in lines:
                for name, value in line["values"].items():
                    key = f"{line['stage']} {name}"
                    if line["step"] > marks.get(key, -1):
                        points.setdefault(line["stage"], []).append(Point(name, value, line["step"], line["time"]))
                        marks[key] = line["step"]
            for stage, new in points.items():
                store.send_points(self.state, stage, new)
            self.sent.update(marks)
            tail.accept()
            self.note_sizes(False)

    def note_sizes(self, ended: bool) -> None:
        """Note how far the metrics are sent; a torn last line of a run that has ended counts as read."""
        sizes = [tail.size if ended else tail.offset for tail in self.tails.values()]
        if sizes != self.state.get("sent_bytes"):
            self.note(sent_bytes=sizes)

    def gives_up(self, error: Exception, failures: int, alive: bool) -> bool:
        """Note a failure, say the first of a row; whether to leave the rest to a later command."""
        self.store = None  # a new connection next time
        if Store.is_loss(error):  # the store was emptied: all is to be sent again
            self.state.clear()
            self.begin()
        refused = Store.is_refusal(error)
        if failures == 1:
            self.say(f"{time.strftime('%F %T')} {self.uri}: {type(error).__name__}: {error}"[:500])
            self.note(failing=f"{type(error).__name__}: {error}"[:500])
        if not refused and (alive or failures < TRIES_AFTER):
            return False
        if refused:
            self.note(refused=True)
        again = f"`hybridgen track sync {self.run.experiment}/{self.run.name}`"
        self.say(f"gave up; the run folder keeps everything. {again} sends it.")
        return True

    def sleep(self, seconds: float, trains: Callable[[], bool] | None) -> None:
        """Wait; a run that ends in the meantime ends the wait."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (trains is None or trains()):
            time.sleep(min(0.25, seconds))

    def note(self, **fields: Any) -> None:
        """Set fields of this store's part of tracking.json."""
        self.state.update(fields)
        try:
            write_atomic(self.run.path / "tracking.json", json.dumps(self.everything, indent=1) + "\n")
        except CannotWriteError as error:  # a full disk: what was sent may be sent again, which an SQL store keeps once
            self.say(str(error))


def _trains(run: Run, pid: int, begun: int | None) -> bool:
    """Whether the run is still being trained: by `pid`, or by a process that has resumed it since."""
    if run.status != "running":
        return False
    return run.info["pid"] != pid or (begun is not None and process_start(pid) == begun)


def _read_state(folder: Path) -> dict[str, Any]:
    """What tracking.json says; nothing where it is absent or damaged: all is then sent again, and kept once."""
    try:
        state = json.loads((folder / "tracking.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) and all(map(_is_state, state.values())) else {}


def _is_state(known: Any) -> bool:
    """Whether this is what `_Mirror` notes of one store."""
    tables = [known.get(name, {}) for name in ("sent", "files", "runs")] if isinstance(known, dict) else [None]
    return all(isinstance(table, dict) for table in tables)


def _files(run: Run, patterns: tuple[str, ...]) -> list[tuple[str, list[int]]]:
    """Path inside the run folder, and [size, time of change], of the files to send."""
    found = sorted({file for pattern in patterns for file in run.path.glob(pattern) if not file.name.startswith(".")})
    stats = [(file.relative_to(run.path).as_posix(), file.stat()) for file in found]
    return [(name, [stat.st_size, stat.st_mtime_ns]) for name, stat in stats]


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
