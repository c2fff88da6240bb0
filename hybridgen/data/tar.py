"""Shards of tar files, as webdataset writes them: indexed once, then each sample is read by its place in a shard."""

import json
import os
import tarfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from annotated_types import Ge

from hybridgen.data.captions import FIELDS, LONGEST
from hybridgen.data.collection import Collection, CollectionData, Entry
from hybridgen.data.folder import SPLIT_FOLDERS
from hybridgen.media.base import Medium
from hybridgen.system.errors import UserError

LARGEST_TEXT = 1 << 20  # bytes of a caption, class or JSON member


class Tar(CollectionData):
    """Samples in `.tar` files. Members that share a name up to its first dot belong together.

    `<key>.<ending of the medium>` is the sample, `<key>.txt` its caption, `<key>.cls` its class, `<key>.json` may have
    `text` and `label`. Shards in folders `train`, `valid` (or `val`), `test` are those splits; else samples are divided
    as a folder's files are. Compressed shards are refused: they cannot be read from the middle.

    Args:
        root: a shard, or a folder of shards.
        medium: what the samples are, and what they look like.
        max_bad_files: damaged samples that are left out; where there are more, the shards are refused.
    """

    def __init__(self, *, root: str, medium: Medium, max_bad_files: Annotated[int, Ge(0)] = 0) -> None:
        self.root, self._medium, self.max_bad_files = Path(root).expanduser(), medium, max_bad_files

    @cached_property
    def collection(self) -> Collection:
        """The members as samples."""
        return Collection(TarSource(self.root, self._medium), self._medium, self.max_bad_files)


class TarSource:
    """Entries of shards, in the order of the shards' names and of the members.

    Args:
        root: a shard, or a folder of shards.
        medium: says which endings are samples.
    """

    def __init__(self, root: Path, medium: Medium) -> None:
        self.root, self.medium, self.where = root, medium, str(root.absolute())

    def entries(self) -> list[Entry]:
        """One entry for each sample.

        Raises:
            UserError: there is no shard, or one cannot be read.
        """
        if self.root.is_file():
            return list(self._shard(self.root, ""))
        if not self.root.is_dir():
            raise UserError(f"data.root: {self.root}: no such file or folder")
        shards = [file for file in sorted(self.root.rglob("*")) if file.is_file() and ".tar" in file.suffixes]
        splits = [
            next((SPLIT_FOLDERS[p] for p in s.relative_to(self.root).parts if p in SPLIT_FOLDERS), "") for s in shards
        ]
        return [entry for shard, split in zip(shards, splits, strict=True) for entry in self._shard(shard, split)]

    def content(self, entry: Entry) -> bytes:
        """The member, read from its place in the shard."""
        path, offset, size = entry.at
        try:
            with open(path, "rb") as file:
                content = os.pread(file.fileno(), size, offset)
        except OSError as error:
            raise UserError(f"{entry.name}: cannot be read: {error.strerror}") from None
        if len(content) != size or not size:
            raise UserError(f"{entry.name}: " + ("the shard ends early" if size else "the member is empty"))
        return content

    def _shard(self, shard: Path, split: str) -> Iterator[Entry]:
        groups: dict[str, dict[str, tarfile.TarInfo]] = {}
        if shard.suffix != ".tar":
            raise UserError(f"{shard}: a compressed shard cannot be read from the middle; unpack it to .tar")
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    if member.isfile():
                        folder, name = os.path.split(member.name)
                        key, _, ending = name.partition(".")
                        groups.setdefault(f"{folder}/{key}" if folder else key, {})[f".{ending.lower()}"] = member
                yield from self._samples(shard, split, groups, archive)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{shard}: damaged or no tar file ({error})") from None

    def _samples(
        self, shard: Path, split: str, groups: dict[str, dict[str, tarfile.TarInfo]], archive: tarfile.TarFile
    ) -> Iterator[Entry]:
        stat, inside = shard.stat(), str(shard.relative_to(self.root)) if shard != self.root else shard.name
        for key, members in groups.items():
            endings = [ending for ending in members if PurePosixPath(f"x{ending}").suffix in self.medium.suffixes]
            if not endings:
                continue
            place = f"{inside}:{key}"
            if len(endings) > 1:
                raise UserError(f"{shard}:{key}: two samples of one name: {', '.join(endings)}")
            label, texts = _about({e: m for e, m in members.items() if e not in endings}, archive, f"{shard}:{key}")
            member = members[endings[0]]
            at = (str(shard), member.offset_data, member.size)
            yield Entry(place + endings[0], at, f"{stat.st_size} {stat.st_mtime_ns} {at[1:]}", label, texts, split)


def _about(
    members: dict[str, tarfile.TarInfo], archive: tarfile.TarFile, place: str
) -> tuple[str | None, tuple[str, ...]]:
    """Class and captions of a sample."""
    label, texts = None, list[Any]()
    for ending, member in members.items():
        if ending not in (".cls", ".txt", ".json"):
            continue
        text = _text(archive, member, f"{place}{ending}")
        if ending == ".cls":
            label = text
        elif ending == ".txt":
            texts.append(text)
        else:
            named, given = _fields(text, f"{place}{ending}")
            label, texts = named or label, texts + given
    _check_captions(texts, place)
    return label, tuple(texts)


def _check_captions(texts: list[Any], place: str) -> None:
    if any(not isinstance(text, str) or not text or len(text) > LONGEST for text in texts):
        raise UserError(f"{place}: a caption is empty, too long, or no text")


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> str:
    stream = archive.extractfile(member)
    if member.size > LARGEST_TEXT or stream is None:
        raise UserError(f"{place}: {member.size:,} bytes; at most {LARGEST_TEXT:,} are read")
    try:
        return stream.read().decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: no UTF-8 text ({error})") from None


def _fields(text: str, place: str) -> tuple[str | None, list[Any]]:
    """Class and captions in a member of JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: no JSON ({error})") from None
    if not isinstance(found, dict):
        return None, []
    label, texts = (next((found[n] for n in FIELDS[field] if n in found), None) for field in ("label", "text"))
    return None if label is None else str(label), texts if isinstance(texts, list) else [texts] if texts else []
