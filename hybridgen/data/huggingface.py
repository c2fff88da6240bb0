"""Data sets of the `datasets` library: on the hub or on this machine; parquet, webdataset, and folders of files."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from hybridgen.data.captions import FIELDS
from hybridgen.data.collection import Collection, CollectionData, Entry
from hybridgen.data.folder import SPLIT_FOLDERS
from hybridgen.media.base import Medium, read_bytes
from hybridgen.system.errors import UserError, unknown


class HuggingFace(CollectionData):
    """A data set as `datasets.load_dataset` knows it. No code that comes with it is run.

    Args:
        path: a name on the hub, a folder, or a builder such as `parquet`, `webdataset`, `imagefolder`.
        files: for a builder: the files, a glob such as "shards/*.parquet".
        config: which of several configurations.
        column: of the samples; null: the first whose entries are files.
        label: column of the classes; null: `label` where there is one.
        text: column of the captions; null: `text` or `caption` where there is one.
        fetch: download what is not on this machine.
        medium: what the samples are, and what they look like.
        max_bad_files: damaged samples that are left out; where there are more, the set is refused.
    """

    def __init__(
        self,
        *,
        path: str,
        files: str | None = None,
        config: str | None = None,
        column: str | None = None,
        label: str | None = None,
        text: str | None = None,
        fetch: bool = False,
        medium: Medium,
        max_bad_files: Annotated[int, Ge(0)] = 0,
    ) -> None:
        self._source = HuggingFaceSource(path, files, config, fetch, {"file": column, "label": label, "text": text})
        self._medium, self.max_bad_files = medium, max_bad_files

    @cached_property
    def collection(self) -> Collection:
        """The rows as samples."""
        return Collection(self._source, self._medium, self.max_bad_files)


class HuggingFaceSource:
    """Entries of a data set's rows.

    Args:
        path, files, config: what to load.
        fetch: download what is not here.
        columns: names of the columns `file`, `label`, `text`; None: found by their usual names.
    """

    def __init__(
        self, path: str, files: str | None, config: str | None, fetch: bool, columns: dict[str, str | None]
    ) -> None:
        self.path, self.files, self.config, self.fetch, self.columns = path, files, config, fetch, columns
        self.where = f"{path} {files or ''}".strip()

    def entries(self) -> list[Entry]:
        """One entry for each row, split by split."""
        return [entry for name, table in self._tables.items() for entry in self._rows(name, table)]

    def content(self, entry: Entry) -> bytes:
        """The bytes in the row, or of the file that it names."""
        split, row = entry.at
        table = self._tables[split]
        cell = table[row][self._column(table)]
        if cell.get("bytes"):
            return bytes(cell["bytes"])
        if not cell.get("path"):
            raise UserError(f"{entry.name}: the row is empty")
        return read_bytes(Path(cell["path"]))

    @cached_property
    def _tables(self) -> dict[str, Any]:
        """The splits, samples left as bytes."""
        try:
            import datasets
        except ImportError:
            raise UserError(
                "data: this source needs the extra 'huggingface': pip install 'hybridgen[huggingface]'"
            ) from None
        local = self.files is not None or Path(self.path).expanduser().exists()
        if not local and not self.fetch:
            raise UserError(
                f"data.path: {self.path}: no such folder, and nothing is fetched unasked\n  data.fetch=true fetches it"
            )
        path = str(Path(self.path).expanduser()) if local and self.files is None else self.path
        datasets.disable_progress_bars()
        try:
            found = datasets.load_dataset(path, self.config, data_files=self.files, trust_remote_code=False)
        except Exception as error:  # the library raises whatever its parts do
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"data.path: {self.where}: cannot be loaded ({first[:200]})") from None
        tables = {name: table for name, table in found.items()}
        return {name: self._undecoded(table) for name, table in tables.items()}

    def _undecoded(self, table: Any) -> Any:
        column = self._column(table)
        return table.cast_column(column, type(table.features[column])(decode=False))

    def _column(self, table: Any) -> str:
        named = self.columns["file"]
        files = [name for name, feature in table.features.items() if hasattr(feature, "decode")]
        if named is not None and named not in files:
            raise UserError(unknown("column", named, files or list(table.features), "data.column"))
        if not files:
            raise UserError(f"{self.where}: no column of files; there are {', '.join(table.features)}")
        return named or files[0]

    def _rows(self, name: str, table: Any) -> list[Entry]:
        split = SPLIT_FOLDERS.get(name, "") if len(self._tables) > 1 else ""
        label, text = (self._named(table, field) for field in ("label", "text"))
        feature = table.features[label] if label else None
        names = getattr(feature, "names", None)
        rest = table.select_columns([column for column in (label, text) if column])
        stamp, entries = str(table._fingerprint), []
        for row, cells in enumerate(rest if rest.column_names else [{}] * len(table)):
            value = cells.get(label) if label else None
            called = None if value is None else names[value] if names else str(value)
            given = cells.get(text) if text else None
            texts = tuple(given) if isinstance(given, list) else (given,) if given else ()
            entries.append(Entry(f"{self.where}: {name} row {row}", (name, row), stamp, called, texts, split))
        return entries

    def _named(self, table: Any, field: str) -> str | None:
        named = self.columns[field]
        if named is not None and named not in table.features:
            raise UserError(unknown("column", named, table.features, f"data.{field}"))
        usual = ("cls", *FIELDS[field]) if field == "label" else ("txt", *FIELDS[field])
        return named or next((name for name in usual if name in table.features), None)
