"""Folders of pictures in every encoding, and what becomes of each pixel."""

import json
import zipfile

import numpy as np
import pytest
import torch
from images import image_folder, read_image
from PIL import Image

from hybridgen.media.image_read import as_tensor, fitted
from hybridgen.system.errors import UserError


def paint(file, colour=(200, 10, 60), size=(40, 30), mode="RGB", **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(file, **options)


def filled(folder, count=20, **options):
    for i in range(count):
        paint(folder / f"{i:02}.png", (i, 2 * i, 3 * i), **options)


def test_classes_are_folders(tmp_path):
    for name in ("cat", "ant"):
        filled(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    data = image_folder(root=str(tmp_path), size=16)
    assert data.spec.classes == ("ant", "cat")
    assert [len(data.split(split).x) for split in ("train", "valid", "test")] == [34, 2, 4]
    assert data.split("test").labels.tolist() == [0, 0, 1, 1]
    assert tuple(data.split("test").x.shape[1:]) == (3, 16, 16)


def test_a_flat_folder_has_no_classes(tmp_path):
    filled(tmp_path)
    data = image_folder(root=str(tmp_path), size=8, channels=1)
    assert data.spec.classes == ()
    assert tuple(data.split("train").x.shape[1:]) == (1, 8, 8)
    assert data.split("train").labels is None


def test_split_folders_are_kept(tmp_path):
    filled(tmp_path / "train/a", 10)
    filled(tmp_path / "test/a", 3)
    data = image_folder(root=str(tmp_path), size=8)
    assert data.spec.classes == ("a",)
    assert [len(data.split(split).x) for split in ("train", "valid", "test")] == [9, 1, 3]


def test_the_fingerprint_follows_pixels(tmp_path):
    filled(tmp_path)
    before = image_folder(root=str(tmp_path), size=8).fingerprint()
    assert image_folder(root=str(tmp_path), size=8).fingerprint() == before
    assert image_folder(root=str(tmp_path), size=9).fingerprint() != before
    paint(tmp_path / "00.png", (255, 0, 0))
    assert image_folder(root=str(tmp_path), size=8).fingerprint() != before


def test_the_variable_names_the_folder(tmp_path, monkeypatch):
    filled(tmp_path)
    monkeypatch.setenv("HYBRIDGEN_DATA", str(tmp_path))
    assert len(image_folder(size=8).split("test").x) == 2
    monkeypatch.delenv("HYBRIDGEN_DATA")
    with pytest.raises(UserError, match=r"data\.root=DIR or set HYBRIDGEN_DATA"):
        image_folder(size=8).split("test")


def test_no_folder_and_no_pictures(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        image_folder(root=str(tmp_path / "none")).split("train")
    with pytest.raises(UserError, match=r"no images found there(.|\n)*\.webp"):
        image_folder(root=str(tmp_path)).split("train")
    paint(tmp_path / "one.png")
    with pytest.raises(UserError, match="too few"):
        image_folder(root=str(tmp_path)).split("train")


def test_sixteen_bits_are_scaled(tmp_path):
    """Pillow alone would clip every value above 255."""
    values = np.array([[0, 257], [32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png", 1)).tolist() == [[0, 1], [128, 255]]


def test_transparency_is_laid_on_white(tmp_path):
    paint(tmp_path / "clear.png", (200, 0, 0, 0), mode="RGBA")
    paint(tmp_path / "half.png", (0, 0, 0, 128), mode="RGBA")
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read_image(tmp_path / "clear.png", 3).getpixel((0, 0)) == (255, 255, 255)
    assert read_image(tmp_path / "half.png", 1).getpixel((0, 0)) == 127
    assert read_image(tmp_path / "palette.png", 3).getpixel((0, 0)) == (255, 255, 255)


def test_exif_turns_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    paint(tmp_path / "turned.jpg", size=(40, 30), exif=exif)
    assert read_image(tmp_path / "turned.jpg", 3).size == (30, 40)


def test_cmyk_becomes_rgb(tmp_path):
    paint(tmp_path / "press.jpg", (0, 255, 255, 0), mode="CMYK")
    red, green, blue = read_image(tmp_path / "press.jpg", 3).getpixel((5, 5))
    assert red > 240
    assert max(green, blue) < 20


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(UserError, match="floating-point"):
        read_image(tmp_path / "float.tiff", 1)


def test_resizing_is_antialiased_and_centred():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 64)))  # 128 wide, 64 high
    small = as_tensor(fitted(stripes, (8, 8)))
    assert tuple(small.shape) == (1, 8, 8)
    assert (small.double() - 127.5).abs().max() < 10  # without a filter it would be all black or all white
    marked = np.zeros((30, 90), np.uint8)
    marked[:, 30:60] = 255
    assert as_tensor(fitted(Image.fromarray(marked), (10, 10))).double().mean() > 250


def test_mixed_photographs(shared, tmp_path):
    """Every encoding of the reference folder loads upright, at the stated size."""
    with zipfile.ZipFile(shared / "data/photos_mixed/photos_mixed.zip") as archive:
        archive.extractall(tmp_path)
    manifest = next(tmp_path.rglob("manifest.jsonl"))
    rows = [json.loads(line) for line in manifest.read_text().splitlines() if line.strip()]
    for row in rows:
        picture = read_image(manifest.parent / row["file"], 3)
        assert list(picture.size) == list(row["upright_size"]), row
        assert np.asarray(picture).std() > 1, row
    folder = next(path for path in (manifest.parent, *manifest.parent.iterdir()) if _class_folders(path) == 8)
    data = image_folder(root=str(folder), size=16)
    assert len(data.spec.classes) == 8
    total = sum(len(data.split(split).x) for split in ("train", "valid", "test"))
    assert total == len(rows) == 100


def _class_folders(path):
    return sum(1 for child in path.iterdir() if child.is_dir()) if path.is_dir() else 0


def test_the_same_picture_in_two_encodings_is_the_same(tmp_path):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    pixels = []
    for name in ("a.png", "a.bmp", "a.tiff", "a.ppm", "a.webp"):
        picture.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
        pixels.append(as_tensor(read_image(tmp_path / name, 3)))
    assert all(torch.equal(pixels[0], other) for other in pixels[1:])
