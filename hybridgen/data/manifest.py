"""A list of files as a data set: rows of a .jsonl, .csv or .parquet that name files, captions, classes, splits."""

from functools import cached_property
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from hybridgen.data.base import SPLITS
from hybridgen.data.captions import read_table
from hybridgen.data.collection import Collection, CollectionData, Entry
from hybridgen.data.folder import SPLIT_FOLDERS
from hybridgen.media.base import Medium, read_bytes
from hybridgen.system.errors import UserError, unknown


class Manifest(CollectionData):
    """Files that a list names. Rows: `file_name`; and `text`, `label`, `split` where there are such.

    Other names of these fields are understood too, NeMo's `audio_filepath` among them. Paths are relative to `root`;
    none may lead out of it. Rows without a split are divided as a folder's files are.

    Args:
        file: the list: .jsonl, .csv or .parquet.
        root: the folder that its paths start from; null: the list's own.
        medium: what the files are, and what a sample looks like.
        max_bad_files: damaged files that are left out; where there are more, the list is refused.
    """

    def __init__(
        self, *, file: str, root: str | None = None, medium: Medium, max_bad_files: Annotated[int, Ge(0)] = 0
    ) -> None:
        self.file = Path(file).expanduser()
        self.root = self.file.parent if root is None else Path(root).expanduser()
        self._medium, self.max_bad_files = medium, max_bad_files

    @cached_property
    def collection(self) -> Collection:
        """The files as samples."""
        return Collection(ManifestSource(self.file, self.root), self._medium, self.max_bad_files)


class ManifestSource:
    """Entries of a list, in its order.

    Args:
        file: the list.
        root: where its paths start.
    """

    def __init__(self, file: Path, root: Path) -> None:
        self.file, self.root, self.where = file, root, str(file.absolute())

    def entries(self) -> list[Entry]:
        """One entry for each row.

        Raises:
            UserError: rows are wrong, or name files that are not there.
        """
        entries = []
        for row in read_table(self.file).values():
            path = self.root / row.file
            if row.split and row.split not in SPLIT_FOLDERS:
                raise UserError(unknown("split", row.split, SPLITS, row.place))
            if not path.is_file():
                raise UserError(f"{row.place}: {path}: there is no such file")
            if not path.resolve().is_relative_to(self.root.resolve()):
                raise UserError(f"{row.place}: {row.file} leads out of {self.root}")
            stat, split = path.stat(), SPLIT_FOLDERS[row.split] if row.split else ""
            stamp = f"{stat.st_size} {stat.st_mtime_ns}"
            entries.append(Entry(row.file, str(path), stamp, row.label, row.texts, split))
        return entries

    def content(self, entry: Entry) -> bytes:
        """The file."""
        return read_bytes(Path(entry.at))
