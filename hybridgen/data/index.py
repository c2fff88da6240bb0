"""Every sample of a source read and decoded once, so that damage is known before anything is trained.

What was found is kept in the user's cache by name and stamp: the next command looks only at what has changed.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.data.roots import cache_folder
from hybridgen.media.base import Medium
from hybridgen.system.errors import UserError
from hybridgen.system.files import write_atomic

if TYPE_CHECKING:
    from hybridgen.data.collection import Entry, Source

THREADS = 4  # decoders let go of Python's lock
SPEAK = 10.0  # seconds between two words about a long look

Found = tuple[str, str]  # hash of the content and nothing, or nothing and what is wrong


def look_over(entries: "Sequence[Entry]", source: "Source", medium: Medium) -> tuple[list[str], list[str]]:
    """Of each entry the hash of its content, and what is wrong with it: one of the two is empty."""
    file = index_file(f"{source.where} {medium!r}")
    known = _read(file)
    new = [entry for entry in entries if f"{entry.name}\t{entry.stamp}" not in known]
    known |= dict(_seen(new, source, medium))
    found = [known[f"{entry.name}\t{entry.stamp}"] for entry in entries]
    if new:
        _write(file, {f"{entry.name}\t{entry.stamp}": each for entry, each in zip(entries, found, strict=True)})
    return [digest for digest, _ in found], [problem for _, problem in found]


def index_file(what: str) -> Path:
    """Where the index of a source lies in the user's cache."""
    return cache_folder().parent / "index" / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.jsonl"


def _seen(entries: "Sequence[Entry]", source: "Source", medium: Medium) -> "Iterator[tuple[str, Found]]":
    def see(entry: "Entry") -> Found:
        try:
            content = source.content(entry)
            medium.decode(content, entry.name)
        except UserError as error:
            return "", str(error).splitlines()[0]
        return hashlib.sha256(content).hexdigest()[:32], ""

    spoke = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for i, (entry, found) in enumerate(zip(entries, pool.map(see, entries), strict=True)):
            yield f"{entry.name}\t{entry.stamp}", found
            if time.monotonic() - spoke > SPEAK:
                spoke = time.monotonic()
                print(f"{source.where}: looked at {i + 1:,} of {len(entries):,}", file=sys.stderr, flush=True)


def _read(file: Path) -> dict[str, Found]:
    """What an earlier look found; a damaged line is looked at anew."""
    known: dict[str, Found] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return known
    for line in lines:
        try:
            key, digest, problem = json.loads(line)
        except (ValueError, TypeError):
            continue
        if (
            isinstance(key, str)
            and isinstance(digest, str)
            and isinstance(problem, str)
            and bool(digest) != bool(problem)
        ):
            known[key] = digest, problem
    return known


def _write(file: Path, found: dict[str, Found]) -> None:
    """Kept for the next command; a cache that cannot be written only costs the next command a look."""
    try:
        write_atomic(file, "".join(json.dumps([key, *each]) + "\n" for key, each in found.items()))
    except OSError as error:
        print(
            f"warning: {file}: not kept ({error.strerror}); the next command looks at all files again", file=sys.stderr
        )
