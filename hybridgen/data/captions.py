"""Lists that name files with their captions and classes, one row for each; a bad row is named by its line."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hybridgen.data.damage import NAMED
from hybridgen.system.errors import UserError, unknown

METADATA = "metadata.jsonl"
LONGEST = 100_000  # characters of a caption
FIELDS: Mapping[str, Sequence[str]] = {  # what a field may be called, the first that is there counts
    "file": ("file_name", "file", "path", "image", "audio_filepath", "video"),
    "text": ("text", "caption", "texts", "captions", "prompt"),
    "label": ("label", "class", "category"),
    "split": ("split",),
}


@dataclass(frozen=True)
class Row:
    """A line of a list."""

    file: str  # with forward slashes, relative to the list's root
    texts: tuple[str, ...]
    label: str | None
    split: str
    place: str  # "file:line", for messages


def read_metadata(file: Path) -> dict[str, Row]:
    """The rows of a `.jsonl`, by the file that each names.

    Raises:
        UserError: some lines are no such rows; all are named, the first ten with what is wrong.
    """
    return checked_rows(_json_lines(file), file)


def read_table(file: Path) -> dict[str, Row]:
    """The rows of a `.jsonl`, `.csv` or `.parquet`, by the file that each names.

    Raises:
        UserError: the file cannot be read, or some rows are wrong.
    """
    readers = {".jsonl": _json_lines, ".csv": _csv_lines, ".parquet": _parquet_lines}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise UserError(unknown("kind of list", file.suffix, readers, str(file)))
    return checked_rows(reader(file), file)


def checked_rows(lines: Iterator[tuple[int, Any]], file: Path) -> dict[str, Row]:
    """Each line as a row; no file may be named twice."""
    rows: dict[str, Row] = {}
    wrong = []
    for number, line in lines:
        try:
            row = _row(line, f"{file}:{number}")
            if row.file in rows:
                raise ValueError(f"{row.file} is named a second time; the first is {rows[row.file].place}")
            rows[row.file] = row
        except ValueError as error:
            wrong.append(f"{file}:{number}: {error}")
    if wrong:
        more = f"\n  and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise UserError(f"{file}: {len(wrong)} lines cannot be used:\n  " + "\n  ".join(wrong[:NAMED]) + more)
    return rows


def read_sidecar(file: Path) -> tuple[str, ...]:
    """The captions in the `.txt` beside a file, one on each line.

    Raises:
        UserError: it is absent, empty, or no UTF-8 text.
    """
    beside = file.with_suffix(".txt")
    try:
        lines = beside.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{file}: no captions in {beside.name}, while other files have some") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{beside}: cannot be read ({error})") from None
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts or max(map(len, texts)) > LONGEST:
        raise UserError(
            f"{beside}: " + ("no caption in it" if not texts else f"a caption has over {LONGEST:,} characters")
        )
    return texts


def _row(line: Any, place: str) -> Row:
    if isinstance(line, ValueError):
        raise line
    if not isinstance(line, dict):
        raise ValueError(f"a mapping is needed, not {json.dumps(line)[:40]}")
    found = {field: next((line[n] for n in names if line.get(n) is not None), None) for field, names in FIELDS.items()}
    file = found["file"]
    if not isinstance(file, str) or not file:
        raise ValueError(f"it names no file; known keys: {', '.join(FIELDS['file'])}")
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise ValueError(f"{file} lies outside of the folder of the list")
    return Row(
        PurePosixPath(file).as_posix(), _texts(found["text"]), None if found["label"] is None else str(found["label"]),
        str(found["split"] or ""), place,
    )  # fmt: skip


def _texts(value: Any) -> tuple[str, ...]:
    """A caption, or several."""
    if value is None:
        return ()
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"a caption is empty or no text: {json.dumps(value, default=str)[:40]}")
    if max(map(len, texts)) > LONGEST:
        raise ValueError(f"a caption has {max(map(len, texts)):,} characters; at most {LONGEST:,} are read")
    return tuple(text.strip() for text in texts)


def _json_lines(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        content = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    for number, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            yield number, json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            yield number, ValueError(f"no JSON in UTF-8 ({error})")


def _csv_lines(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            for row in reader:
                short = None in row or None in row.values()
                wrong = ValueError("it has another number of fields than the first line")
                yield reader.line_num, wrong if short else {name: value or None for name, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as CSV in UTF-8 ({error})") from None


def _parquet_lines(file: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(f"{file}: parquet needs pyarrow: pip install pyarrow") from None
    try:
        table = parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches(10_000):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{file}: cannot be read as parquet ({error})") from None
