"""Damaged and hostile files: each is one `UserError` that names the file and the reason; none is half read."""

import gzip
import shutil

import numpy as np
import pytest
from images import image_folder, read_image
from PIL import Image

from hybridgen.data.idx import read_idx
from hybridgen.data.mosaic import Mosaic
from hybridgen.evaluation.judge import read_judge
from hybridgen.evaluation.perceptual import Perceptual
from hybridgen.system.errors import UserError

PICTURES = {
    "zero_bytes.png": "empty",
    "text_named.png": "not an image",
    "html_error_page.jpg": "not an image",
    "truncated_half.jpg": "truncated",
    "truncated_header.jpg": "damaged|not an image",
    "truncated_idat.png": "truncated",
    "bad_ihdr_crc.png": "not an image",
    "zero_width.png": "not an image|without pixels",
    "bomb_header_50000x50000.png": "more than 64 million pixels",
    "bomb_warning_10000x10000_1bit.png": "more than 64 million pixels",
}
FINE = {"jpeg_named.png": (128, 96), "garbage_exif.jpg": (128, 96), "truncated_animation.gif": None}
WEIGHTS = ("huge_header.safetensors", "short_data.safetensors")


@pytest.fixture
def broken(shared):
    return shared / "data/broken"


@pytest.mark.parametrize("name", PICTURES)
def test_broken_pictures(broken, name):
    with pytest.raises(UserError, match=PICTURES[name]) as error:
        read_image(broken / name, 3)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FINE)
def test_strange_pictures_that_are_whole(broken, name):
    """The first frame of an animation is a whole picture, whatever follows."""
    assert FINE[name] in (None, read_image(broken / name, 3).size)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_magic-images-idx3-ubyte.gz", "wrong magic"),
        ("short-images-idx3-ubyte.gz", "announces 100 items, 3 are there"),
    ],
)
def test_broken_idx(broken, name, reason):
    with pytest.raises(UserError, match=reason) as error:
        read_idx(broken / name, 3)
    assert name in str(error.value)


@pytest.mark.parametrize(("name", "reason"), [("truncated.npz", "damaged"), ("object_array.npz", "refused|is missing")])
def test_broken_npz(broken, name, reason):
    with pytest.raises(UserError, match=reason) as error:
        Mosaic(file=str(broken / name)).split("train")
    assert name in str(error.value)


@pytest.mark.parametrize("name", WEIGHTS)
def test_broken_weights(broken, name):
    with pytest.raises(UserError, match=name):
        read_judge(broken / name)
    with pytest.raises(UserError, match=name):
        Perceptual(str(broken / name))


def test_text_named_weights(broken):
    with pytest.raises(UserError, match=r"text_named\.pt: not a weights file"):
        Perceptual(str(broken / "text_named.pt"))


def test_a_folder_reports_all_bad_files_together(broken, tmp_path):
    names = [name for name in PICTURES if name.endswith(".png")]
    for name in names:
        for copy in range(3):
            shutil.copy(broken / name, tmp_path / f"{copy}_{name}")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    with pytest.raises(UserError) as error:
        image_folder(root=str(tmp_path)).split("train")
    lines = str(error.value).splitlines()
    bad = 3 * len(names)
    assert f"{bad} of {bad + 1} samples cannot be used" in lines[0]
    assert len(lines) == 12
    assert lines[-1].strip() == f"and {bad - 10} more"


def test_pickles_are_refused_unread(tmp_path):
    """An array of objects could run anything when read."""
    labels = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "evil.npz", classes=labels, tile=28, train_webp=labels, train_cols=1, train_labels=labels)
    with pytest.raises(UserError, match=r"evil\.npz: refused: it holds pickled objects"):
        Mosaic(file=str(tmp_path / "evil.npz")).split("train")


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x08\x03\x00\x00", b"\x00\x00\x0d\x03" + bytes(12)])
def test_short_and_strange_idx(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match=r"cut off|wrong magic"):
        read_idx(tmp_path / "x", 3)


def test_missing_and_half_gzip(tmp_path):
    with pytest.raises(UserError, match=r"missing, and so is x\.gz"):
        read_idx(tmp_path / "x", 3)
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(UserError, match=r"x\.gz: damaged gzip"):
        read_idx(tmp_path / "x", 3)


def test_a_mosaic_whose_labels_do_not_fit(tmp_path):
    from io import BytesIO

    stream = BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "WEBP", lossless=True)
    arrays = {"train_webp": np.frombuffer(stream.getvalue(), np.uint8), "train_labels": np.zeros(99, np.uint8)}
    np.savez(tmp_path / "odd.npz", classes=np.array(["a"]), tile=4, train_cols=2, **arrays)
    with pytest.raises(UserError, match="99 labels do not fit a mosaic"):
        Mosaic(file=str(tmp_path / "odd.npz")).split("train")
