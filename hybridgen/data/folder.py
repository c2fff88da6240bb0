"""A folder of files as a data set: one subfolder for each class, or none; captions beside the files, or in one list."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from hybridgen.data.captions import METADATA, read_metadata, read_sidecar
from hybridgen.data.collection import Collection, CollectionData, Entry
from hybridgen.data.roots import named_folder
from hybridgen.media.base import Medium, read_bytes
from hybridgen.system.errors import UserError

SPLIT_FOLDERS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
LAYOUTS = "ROOT/CLASS/FILE, ROOT/FILE, or either of them below ROOT/train, ROOT/valid (or val) and ROOT/test"


class Folder(CollectionData):
    """Files of one medium.

    Layouts: `root/<class>/*`, `root/*` (without classes), or either below `root/train`, `root/valid` (or `val`) and
    `root/test`. What has no folder of its own is held out: 10 % of each class as `test`, 5 % of the rest as `valid`;
    always the same files. Captions stand in `<file>.txt`, one on each line, or in `metadata.jsonl`, whose lines have
    `file_name` and `text`.

    Args:
        root: the folder; else the environment variable HYBRIDGEN_DATA.
        medium: what the files are, and what a sample looks like.
        max_bad_files: damaged files that are left out; where there are more, the folder is refused.
    """

    def __init__(self, *, root: str | None = None, medium: Medium, max_bad_files: Annotated[int, Ge(0)] = 0) -> None:
        self._root, self._medium, self.max_bad_files = root, medium, max_bad_files

    @cached_property
    def collection(self) -> Collection:
        """The files as samples."""
        root = named_folder(self._root, f"a folder of {self._medium.units}")
        return Collection(FolderSource(root, self._medium), self._medium, self.max_bad_files)


class FolderSource:
    """Entries of a folder.

    Args:
        root: the folder.
        medium: says which endings count.
    """

    def __init__(self, root: Path, medium: Medium) -> None:
        self.root, self.medium, self.where = root, medium, str(root.absolute())

    def entries(self) -> list[Entry]:
        """Class by class, each sorted by name."""
        splits = {f.name: f for f in sorted(self.root.iterdir()) if f.is_dir() and f.name in SPLIT_FOLDERS}
        if "train" not in splits:
            return list(self._tree(self.root, ""))
        beside = [
            f.name for f in sorted(self.root.iterdir()) if f.is_dir() and f.name not in splits and f.name[0] != "."
        ]
        if beside:
            raise UserError(f"{self.root}: {beside[0]} stands beside train; known layouts: {LAYOUTS}")
        roles = [SPLIT_FOLDERS[name] for name in splits]
        if len(set(roles)) < len(roles):
            raise UserError(f"{self.root}: two folders for one split: {', '.join(splits)}")
        return [entry for name, folder in splits.items() for entry in self._tree(folder, SPLIT_FOLDERS[name])]

    def content(self, entry: Entry) -> bytes:
        """The file."""
        return read_bytes(Path(entry.at))

    def _tree(self, folder: Path, split: str) -> Iterator[Entry]:
        """One split, or all: class by class, or the files that lie there."""
        loose = self._files([Path(f) for f in os.scandir(folder) if f.is_file()])
        classes = [Path(f) for f in os.scandir(folder) if f.is_dir() and not f.name.startswith(".")]
        groups = {c.name: self._files([p for p in c.rglob("*") if p.is_file()]) for c in sorted(classes)}
        groups = {name: files for name, files in groups.items() if files}
        if loose and groups:
            raise UserError(
                f"{folder}: {len(loose)} {self.medium.units} lie beside the folders of classes, the first is"
                f" {loose[0].name}\n  known layouts: {LAYOUTS}"
            )
        rows = read_metadata(folder / METADATA) if (folder / METADATA).is_file() else None
        pairs: list[tuple[Path, str | None]] = [(file, None) for file in loose]
        pairs += [(file, label) for label, files in groups.items() for file in files]
        sidecars = rows is None and any(file.with_suffix(".txt").is_file() for file, _ in pairs)
        for file, label in pairs:
            row = None if rows is None else rows.pop(file.relative_to(folder).as_posix(), None)
            if rows is not None and row is None:
                raise UserError(f"{folder / METADATA}: no line for {file.relative_to(folder).as_posix()}")
            texts = row.texts if row is not None else read_sidecar(file) if sidecars else ()
            stat, name = file.stat(), str(file.relative_to(self.root))
            label = label if row is None or row.label is None else row.label
            yield Entry(name, str(file), f"{stat.st_size} {stat.st_mtime_ns}", label, texts, split)
        if rows:
            name, row = next(iter(rows.items()))
            raise UserError(f"{row.place}: {name}: there is no such file in {folder}")

    def _files(self, paths: list[Path]) -> list[Path]:
        return sorted(path for path in paths if self.medium.reads(path))
