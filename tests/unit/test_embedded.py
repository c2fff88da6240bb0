"""The sets that ship: whole, licensed, split without overlap."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import hybridgen.data
from hybridgen.data import embedded
from hybridgen.data.embedded import Embedded
from hybridgen.data.holdout import held_out
from hybridgen.data.mosaic import Mosaic
from hybridgen.system.errors import UserError

FILES = Path(hybridgen.data.__file__).parent / "files"
SETS = {"fashion28": ((1, 28, 28), 10, (5700, 300, 1000)), "emoji32": ((3, 32, 32), 8, (1330, 70, 160))}


@pytest.mark.parametrize("name", SETS)
def test_shapes_and_classes(name):
    shape, classes, counts = SETS[name]
    data = Embedded(name=name)
    assert (data.spec.channels, *data.spec.size) == shape
    assert len(data.spec.classes) == classes
    for split, count in zip(("train", "valid", "test"), counts, strict=True):
        examples = data.split(split)
        assert tuple(examples.x.shape) == (count, *shape)
        assert examples.x.dtype == torch.uint8
        assert set(examples.labels.tolist()) == set(range(classes))


def test_splits_do_not_overlap_and_repeat():
    """No picture of one split is a picture of another, and loading twice gives the same."""
    data = Embedded()
    pictures = {split: {x.numpy().tobytes() for x in data.split(split).x} for split in ("train", "valid", "test")}
    assert not pictures["valid"] & pictures["test"]
    assert not pictures["train"] & pictures["test"]
    assert len(pictures["train"] & pictures["valid"]) == 0
    assert torch.equal(data.split("valid").x, Embedded().split("valid").x)


def test_valid_is_balanced():
    assert Embedded().split("valid").labels.bincount().tolist() == [30] * 10


def test_fingerprints_differ():
    assert Embedded(name="fashion28").fingerprint() != Embedded(name="emoji32").fingerprint()


def test_a_changed_file_is_refused(tmp_path):
    data = Embedded()
    content = bytearray(data.file.read_bytes())
    content[len(content) // 2] ^= 1
    data.file = tmp_path / "fashion28.npz"
    data.file.write_bytes(content)
    with pytest.raises(UserError, match="SHA-256"):
        data.split("test")


def test_the_same_file_by_its_path(tmp_path):
    copy = tmp_path / "mine.npz"
    shutil.copy(FILES / "fashion28.npz", copy)
    assert torch.equal(Mosaic(file=str(copy), grey=True).split("test").x, Embedded().split("test").x)
    assert Mosaic(file=str(copy), grey=True).fingerprint() == Embedded().fingerprint()


def test_what_ships_is_small_and_licensed():
    judges = Path(embedded.__file__).parents[1] / "evaluation" / "judges"
    weights = [*judges.glob("*.safetensors")]
    assert {file.stem for file in weights} == {"fashion28", "emoji32"}
    assert all(file.stat().st_size <= 1_000_000 for file in weights)
    assert sum(file.stat().st_size for file in (*FILES.rglob("*.*"), *weights)) <= 8_000_000
    for name in SETS:
        assert "Permission is hereby granted" in (FILES / "LICENSES" / f"{name}-MIT.txt").read_text()


def test_held_out_rows():
    labels = np.repeat(np.arange(4), (40, 1, 2, 20))
    stay, held = held_out(labels, 0.1, "valid")
    assert sorted([*stay, *held]) == list(range(len(labels)))
    assert np.bincount(labels[held], minlength=4).tolist() == [4, 0, 1, 2]
    assert held_out(labels, 0.1, "valid")[1].tolist() == held.tolist()
    assert held_out(labels, 0.1, "test")[1].tolist() != held.tolist()


def test_reference_mosaic_in_colour(shared):
    data = Mosaic(file=str(shared / "data/demo_eurosat32/eurosat32_demo.npz"))
    assert tuple(data.split("test").x.shape) == (1000, 3, 32, 32)
    mean = data.split("train").x.double().mean((0, 2, 3)) / 255
    np.testing.assert_allclose(mean, [0.3433, 0.3809, 0.4081], atol=0.01)  # measured on three times the pictures
