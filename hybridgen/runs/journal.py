"""The journal of a run: metrics.jsonl, appended to, read, followed as it grows, rewound on resume.

A line is {"stage", "step", "time", "values"}: `time` in milliseconds since 1970, `values` numbers by name, not-a-number
as NaN (Python's dialect of JSON). An append is one write of one line, so kill -9 leaves whole lines; a line torn by a
crash of the machine is left out by every reader.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hybridgen.system.files import write_atomic, writing

Line = dict[str, Any]
FIELDS: Final = {"stage": str, "step": int, "time": int, "values": dict}  # of a line; one without them counts as torn


def append(file: Path, step: int, values: Mapping[str, float], stage: str) -> None:
    """Add a line; what stands in the file before it stays as it is."""
    line = {"stage": stage, "step": step, "time": time.time_ns() // 10**6, "values": dict(values)}
    text = json.dumps(line, default=float) + "\n"
    with writing(file):
        handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            end = os.fstat(handle).st_size
            torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            os.write(handle, (("\n" if torn else "") + text).encode())
        finally:
            os.close(handle)


def read(file: Path) -> list[Line]:
    """All whole lines; none when there is no file."""
    return parse(file.read_text(errors="replace")) if file.exists() else []


def rewind(file: Path, stage: str, step: int) -> None:
    """Drop the lines of `stage` after `step`, and torn ones."""
    if file.exists():
        kept = [line for line in read(file) if line["stage"] != stage or line["step"] <= step]
        write_atomic(file, "".join(json.dumps(line) + "\n" for line in kept))


def parse(text: str) -> list[Line]:
    """The lines of `text` that are whole."""
    lines = []
    for raw in text.splitlines():
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict) and all(isinstance(line.get(name), kind) for name, kind in FIELDS.items()):
            values = {name: value for name, value in line["values"].items() if isinstance(value, int | float)}
            lines.append(line | {"values": values})
    return lines


class Tail:
    """The new whole lines of a growing file; from the start again when the file was replaced or cut.

    Args:
        file: the file; it need not exist yet.
    """

    CHUNK = 1 << 20  # bytes a read

    def __init__(self, file: Path) -> None:
        self.file, self.inode = file, 0
        self.offset = self.seen = self.size = 0  # bytes delivered, read, there

    def read(self) -> list[Line]:
        """Lines after `offset`, which `accept` moves once they are delivered."""
        try:
            with self.file.open("rb") as handle:
                stat = os.fstat(handle.fileno())
                if stat.st_ino != self.inode or stat.st_size < self.offset:
                    self.inode, self.offset = stat.st_ino, 0
                self.size = stat.st_size
                handle.seek(self.offset)
                block = handle.read(self.CHUNK)
        except FileNotFoundError:
            return []
        whole = block[: block.rfind(b"\n") + 1]
        self.seen = self.offset + len(whole)
        return parse(whole.decode(errors="replace"))

    def accept(self) -> None:
        """What was read has been delivered."""
        self.offset = self.seen
