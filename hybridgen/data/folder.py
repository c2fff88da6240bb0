"""A folder of pictures as a data set: one subfolder a class, or all of one class when it is flat."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge

from hybridgen.data.base import Data, Examples, Split
from hybridgen.data.fingerprint import fingerprint_of
from hybridgen.data.holdout import part
from hybridgen.data.roots import named_folder
from hybridgen.media.image_read import SUFFIXES, as_tensor, fitted, read_picture, report
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

_TEST_SHARE, _VALID_SHARE = 0.1, 0.05
_SPLIT_FOLDERS = ("train", "test")


class ImageFolder(Data):
    """Pictures of any size and encoding, made square: the shorter side resized with antialiasing, the centre kept.

    `root/<class>/*`; or `root/train/<class>/*` and `root/test/<class>/*`; or `root/*`, without classes.
    Without a test folder 10 % of each class are held out as `test`; `valid` is 5 % of the rest. Both are fixed.

    Args:
        root: the folder; else the environment variable HYBRIDGEN_DATA.
        size: side of the pictures in pixels.
        channels: 1 for grey, 3 for colour.
    """

    def __init__(
        self, *, root: str | None = None, size: Annotated[int, Ge(1)] = 32, channels: Literal[1, 3] = 3
    ) -> None:
        self.root, self.size, self.channels = root, size, channels

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names (none when flat); looks at folder names only."""
        return DataSpec(self.channels, (self.size, self.size), tuple(self._classes))

    def load(self, split: Split) -> Examples:
        """A split.

        Raises:
            UserError: no picture is there, or some are damaged: all together, the first ten named.
        """
        return dict(zip(("train", "valid", "test"), self._parts, strict=True))[split]

    def fingerprint(self) -> str:
        """Hash of all pictures and labels as they are trained on."""
        return fingerprint_of(self.spec, *self._parts)

    @property
    def _folder(self) -> Path:
        return named_folder(self.root, "a folder of pictures")

    @property
    def _trees(self) -> tuple[Path, ...]:
        folders = tuple(self._folder / name for name in _SPLIT_FOLDERS)
        return folders if all(f.is_dir() for f in folders) else (self._folder,)

    @property
    def _classes(self) -> list[str]:
        names = {f.name for f in self._trees[0].iterdir() if f.is_dir() and not f.name.startswith(".")}
        return sorted(name for name in names if _pictures(self._trees[0] / name))

    @cached_property
    def _parts(self) -> tuple[Examples, Examples, Examples]:
        read = [self._read(tree) for tree in self._trees]
        whole = read[0]
        rest, test = (whole, read[1]) if len(read) == 2 else part(whole.x, whole.labels, _TEST_SHARE, "test")
        train, valid = part(rest.x, rest.labels, _VALID_SHARE, "valid")
        if not (len(train.labels) and len(valid.labels) and len(test.labels)):
            raise UserError(f"{self._folder}: {len(whole.labels)} pictures are too few to hold some out")
        return train, valid, test

    def _read(self, tree: Path) -> Examples:
        classes = self._classes
        files = [(f, i) for i, name in enumerate(classes) for f in _pictures(tree / name)]
        files = files or [(f, 0) for f in _pictures(tree)]
        x, labels, bad = [], [], []
        for file, label in files:
            try:
                x.append(as_tensor(fitted(read_picture(file, self.channels), self.size)))
                labels.append(label)
            except UserError as error:
                bad.append(str(error))
        if bad:
            raise report(bad, len(files), tree)
        if not x:
            known = " ".join(sorted(SUFFIXES))
            raise UserError(f"{tree}: no pictures there, nor in its subfolders\n  known endings: {known}")
        return Examples(torch.stack(x), torch.tensor(labels))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
