"""The `.npz` form of the small sets: per split one lossless WebP mosaic of square tiles, and labels.

Keys: `classes`, `tile`; per split `<split>_webp` (bytes), `<split>_cols`, `<split>_labels`. Nothing is unpickled.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from hybridgen.data.base import Data, MemorySplit, Split, SplitName
from hybridgen.data.fingerprint import file_hash
from hybridgen.data.holdout import part
from hybridgen.media.base import Medium
from hybridgen.media.image import ImageMedium
from hybridgen.media.image_read import read_tiles
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

VALID_SHARE = 0.05  # 300 of 6,000: enough for a held-out loss, small enough not to starve a small set
FORMAT = 1  # part of the fingerprint: raise it when the same file gives other examples


class Mosaic(Data):
    """A set in one `.npz` of mosaics, given by its path.

    Args:
        file: path of the `.npz`.
        grey: whether to keep one channel only.
    """

    def __init__(self, *, file: str, grey: bool = False) -> None:
        self.file, self.channels = Path(file).expanduser(), 1 if grey else 3

    @property
    def medium(self) -> Medium:
        """Images."""
        return ImageMedium.of(self.spec)

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        return mosaic_spec(_content(self.file), str(self.file), self.channels)

    def split(self, name: SplitName) -> Split:
        """A split; `valid` is a fixed, class-balanced slice of the file's training samples."""
        return load_split(_content(self.file), str(self.file), self.channels, name)

    def fingerprint(self) -> str:
        """Hash of the file and of how it is read."""
        return mosaic_fingerprint(file_hash(_content(self.file)), self.channels)


def mosaic_fingerprint(content_hash: str, channels: int) -> str:
    """Hash of the file's hash and of how it is read."""
    return file_hash(f"{content_hash} {channels} {VALID_SHARE} {FORMAT}".encode())[:16]


def mosaic_spec(content: bytes, place: str, channels: int) -> DataSpec:
    """Channels, size and class names of a mosaic file's bytes."""
    arrays = _arrays(content, place, ("classes", "tile"))
    tile = int(arrays["tile"])
    return DataSpec(channels, (tile, tile), tuple(str(name) for name in arrays["classes"]))


def load_split(content: bytes, place: str, channels: int, split: SplitName) -> MemorySplit:
    """A split of a mosaic file's bytes; `place` names the file in errors."""
    stored = "test" if split == "test" else "train"
    arrays = _arrays(content, place, ("classes", "tile", *(f"{stored}_{name}" for name in ("webp", "cols", "labels"))))
    labels = torch.from_numpy(arrays[f"{stored}_labels"].astype(np.int64))
    tile, columns = int(arrays["tile"]), int(arrays[f"{stored}_cols"])
    _check_labels(labels, arrays["classes"], f"{place}: {stored}")
    content = arrays[f"{stored}_webp"].tobytes()
    x = read_tiles(content, f"{place}: {stored}_webp", channels, tile, columns)
    if not len(labels) <= len(x) < len(labels) + columns:
        raise UserError(f"{place}: {stored}: {len(labels)} labels do not fit a mosaic of {len(x)} tiles")
    whole = MemorySplit(x[: len(labels)], label=labels)
    if split == "test":
        return whole
    return part(whole, VALID_SHARE, "valid")[split == "valid"]


def _check_labels(labels: Int[Tensor, " N"], classes: NDArray[np.generic], place: str) -> None:
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        worst = int(labels.max()) if int(labels.max()) >= len(classes) else int(labels.min())
        raise UserError(f"{place}: label {worst} is not one of {len(classes)} classes, 0 to {len(classes) - 1}")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None


def _arrays(content: bytes, place: str, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except KeyError as error:
        raise UserError(f"{place}: not a mosaic file: {str(error.args[0]).split(' ')[0]} is missing") from None
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{place}: damaged or not an .npz file ({error})") from None
    except ValueError as error:  # object arrays, or no zip at all: only pickle could read them, which we never do
        raise UserError(f"{place}: refused: it holds pickled objects or is no .npz file ({error})") from None
