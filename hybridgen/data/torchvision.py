"""The usual image sets through torchvision: Fashion-MNIST, CIFAR-10, EuroSAT, from disk or by download."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from torchvision import datasets

from hybridgen.data.base import Data, MemorySplit, Split, SplitName
from hybridgen.data.damage import damaged
from hybridgen.data.fingerprint import fingerprint_of
from hybridgen.data.holdout import part
from hybridgen.data.idx import read_idx
from hybridgen.data.roots import find_root
from hybridgen.media.base import Medium
from hybridgen.media.image import ImageMedium
from hybridgen.media.image_read import read_reduced
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

VALID_SHARE = 0.05
_EUROSAT_TEST_SHARE = 0.1  # EuroSAT has no official split; ours is fixed and class-balanced
_EUROSAT_SIDE = 64


class FashionMNIST(Data):
    """Fashion-MNIST, (1, 28, 28), 10 classes; 57,000 train, 3,000 valid, 10,000 test.

    Files may be unpacked or `.gz`, in torchvision's layout or straight in the folder (as Debian installs them).

    Args:
        root: folder that holds `FashionMNIST/raw` or the four files; else HYBRIDGEN_DATA, else a download.
    """

    def __init__(self, *, root: str | None = None) -> None:
        self.root = root

    @property
    def medium(self) -> Medium:
        """Images."""
        return ImageMedium.of(self.spec)

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        return DataSpec(1, (28, 28), tuple(datasets.FashionMNIST.classes))

    def split(self, name: SplitName) -> Split:
        """A split; `valid` is 5 % of the training images, class-balanced and fixed."""
        if name == "test":
            return self._test
        return self._parts[name == "valid"]

    def fingerprint(self) -> str:
        """Hash of all images and labels."""
        return fingerprint_of(self.spec, *self._parts, self._test)

    @cached_property
    def _parts(self) -> tuple[MemorySplit, MemorySplit]:
        whole = self._read("train")
        return part(whole, VALID_SHARE, "valid")

    @cached_property
    def _test(self) -> MemorySplit:
        return self._read("t10k")

    def _read(self, stem: str) -> MemorySplit:
        root = find_root("Fashion-MNIST", self.root, lambda r: _raw(r) is not None, _download(datasets.FashionMNIST))
        folder = _raw(root)
        assert folder is not None, "find_root returns only folders that hold the set"
        x = read_idx(folder / f"{stem}-images-idx3-ubyte", 3)
        labels = read_idx(folder / f"{stem}-labels-idx1-ubyte", 1).long()
        if len(x) != len(labels) or tuple(x.shape[1:]) != self.spec.size:
            raise UserError(f"{folder}: {stem}: {tuple(x.shape)} images and {len(labels)} labels do not fit")
        if len(labels) and int(labels.max()) >= len(self.spec.classes):
            known = len(self.spec.classes)
            raise UserError(f"{folder}: {stem}: label {int(labels.max())} is not one of {known} classes")
        return MemorySplit(rearrange(x, "n h w -> n 1 h w"), label=labels)


class CIFAR10(Data):
    """CIFAR-10, (3, 32, 32), 10 classes; 47,500 train, 2,500 valid, 10,000 test. Its authors state no licence.

    Args:
        root: folder that holds `cifar-10-batches-py`; else HYBRIDGEN_DATA, else a download.
    """

    def __init__(self, *, root: str | None = None) -> None:
        self.root = root

    @property
    def medium(self) -> Medium:
        """Images."""
        return ImageMedium.of(self.spec)

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
        return DataSpec(3, (32, 32), names)

    def split(self, name: SplitName) -> Split:
        """A split; `valid` is 5 % of the training images, class-balanced and fixed."""
        if name == "test":
            return self._test
        return self._parts[name == "valid"]

    def fingerprint(self) -> str:
        """Hash of all images and labels."""
        return fingerprint_of(self.spec, *self._parts, self._test)

    @cached_property
    def _parts(self) -> tuple[MemorySplit, MemorySplit]:
        whole = self._read(train=True)
        return part(whole, VALID_SHARE, "valid")

    @cached_property
    def _test(self) -> MemorySplit:
        return self._read(train=False)

    def _read(self, train: bool) -> MemorySplit:
        base = datasets.CIFAR10.base_folder
        root = find_root("CIFAR-10", self.root, lambda r: (r / base).is_dir(), _download(datasets.CIFAR10))
        try:  # torchvision compares the MD5 of each file before it unpickles any
            whole = datasets.CIFAR10(str(root), train=train, download=False)
        except RuntimeError:
            raise UserError(f"{root / base}: damaged or incomplete: the MD5 of its files is not CIFAR-10's") from None
        x = torch.from_numpy(np.ascontiguousarray(rearrange(whole.data, "n h w x -> n x h w")))
        return MemorySplit(x, label=torch.tensor(whole.targets))


class EuroSAT(Data):
    """EuroSAT, land seen from Sentinel-2, RGB, 10 classes; per class 10 % test, then 5 % of the rest valid.

    "Contains modified Copernicus Sentinel data" belongs beside its images.

    Args:
        root: folder that holds `eurosat/2750`; else HYBRIDGEN_DATA, else a download.
        size: side of the images; the exact mean of square blocks of the 64x64 originals.
    """

    def __init__(self, *, root: str | None = None, size: Literal[8, 16, 32, 64] = 32) -> None:
        self.root, self.size = root, size

    @property
    def medium(self) -> Medium:
        """Images."""
        return ImageMedium.of(self.spec)

    @property
    def spec(self) -> DataSpec:
        """Channels, size and class names."""
        names = (
            "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial",
            "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
        )  # fmt: skip
        return DataSpec(3, (self.size, self.size), names)

    def split(self, name: SplitName) -> Split:
        """A split, fixed and class-balanced.

        Raises:
            UserError: the set is nowhere, or files are damaged (all are named in one report).
        """
        return dict(zip(("train", "valid", "test"), self._parts, strict=True))[name]

    def fingerprint(self) -> str:
        """Hash of all images and labels."""
        return fingerprint_of(self.spec, *self._parts)

    @cached_property
    def _parts(self) -> tuple[MemorySplit, MemorySplit, MemorySplit]:
        root = find_root("EuroSAT", self.root, lambda r: (r / "eurosat/2750").is_dir(), _download(datasets.EuroSAT))
        x, labels, bad = [], [], []
        for label, name in enumerate(self.spec.classes):
            folder = root / "eurosat/2750" / name
            for file in sorted(folder.iterdir()) if folder.is_dir() else ():
                if not self.medium.reads(file):
                    continue
                try:
                    x.append(read_reduced(file, _EUROSAT_SIDE, self.size))
                    labels.append(label)
                except UserError as error:
                    bad.append(str(error))
        if bad:
            raise damaged(bad, len(bad) + len(x), root / "eurosat/2750")
        if not x:
            raise UserError(f"{root / 'eurosat/2750'}: no image found")
        whole = MemorySplit(torch.stack(x), label=torch.tensor(labels))
        rest, test = part(whole, _EUROSAT_TEST_SHARE, "test")
        train, valid = part(rest, VALID_SHARE, "valid")
        return train, valid, test


def _raw(root: Path) -> Path | None:
    """The folder under `root` that has the idx files, gzipped or not."""
    for folder in (root / "FashionMNIST/raw", root):
        if any((folder / f"train-images-idx3-ubyte{ending}").is_file() for ending in ("", ".gz")):
            return folder
    return None


def _download(kind: Callable[..., object]) -> Callable[[Path], object]:
    return lambda folder: kind(str(folder), download=True)
