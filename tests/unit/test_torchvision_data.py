"""Sets of torchvision's layouts, read from disk; nothing here may need a network."""

import gzip
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
import torch
from einops import rearrange
from torchvision import datasets

from hybridgen.data import roots
from hybridgen.data.mosaic import Mosaic
from hybridgen.data.torchvision import CIFAR10, EuroSAT, FashionMNIST
from hybridgen.system.errors import UserError


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Nothing is found by the environment, and a download fails at once."""

    def refused(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.delenv(roots.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", refused)


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def fashion(tmp_path):
    """A set of 40 and 20 pictures in the layout that torchvision unpacks to."""
    raw = tmp_path / "root/FashionMNIST/raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for stem, count in (("train", 40), ("t10k", 20)):
        pictures = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(idx(pictures))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return tmp_path / "root"


def zipped(raw, out):
    out.mkdir(parents=True)
    for file in raw.iterdir():
        (out / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))


def test_fashion_mnist(fashion):
    data = FashionMNIST(root=str(fashion))
    assert [len(data.split(split).x) for split in ("train", "valid", "test")] == [30, 10, 20]
    assert data.split("test").labels.tolist() == [i % 10 for i in range(20)]
    assert tuple(data.split("test").x.shape[1:]) == (1, *data.spec.size)


def test_gzipped_files_do_too(fashion, tmp_path, monkeypatch):
    """Packed, in torchvision's layout or straight in the folder, by option or by the variable."""
    raw = fashion / "FashionMNIST/raw"
    zipped(raw, tmp_path / "a/FashionMNIST/raw")
    zipped(raw, tmp_path / "b")
    hashes = {FashionMNIST(root=str(tmp_path / name)).fingerprint() for name in ("root", "a", "b")}
    monkeypatch.setenv(roots.VARIABLE, str(tmp_path / "b"))
    assert hashes == {FashionMNIST().fingerprint()}


@pytest.mark.parametrize("kind", [FashionMNIST, CIFAR10, EuroSAT])
def test_offline_the_three_ways_are_named(kind):
    with pytest.raises(UserError) as error:
        kind().split("train")
    message = str(error.value)
    assert "Name or service not known" in message
    assert all(way in message for way in ("data.root=DIR", "HYBRIDGEN_DATA=DIR", "download"))


@pytest.mark.parametrize("kind", [FashionMNIST, CIFAR10, EuroSAT])
def test_a_given_folder_is_never_downloaded_into(kind, tmp_path):
    with pytest.raises(UserError, match=r"^data\.root: .*is not there"):
        kind(root=str(tmp_path)).split("test")
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_no_class(fashion):
    file = fashion / "FashionMNIST/raw/t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x0b")
    with pytest.raises(UserError, match="label 11 is not one of 10 classes"):
        FashionMNIST(root=str(fashion)).split("test")


def test_labels_that_are_too_few(fashion):
    (fashion / "FashionMNIST/raw/t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(UserError, match="do not fit"):
        FashionMNIST(root=str(fashion)).split("test")


def test_cifar_with_other_bytes_is_refused_before_it_is_unpickled(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
    with pytest.raises(UserError, match="MD5"):
        CIFAR10(root=str(tmp_path)).split("train")
    assert not (tmp_path / "evil").exists()


def test_debian_small_set(shared):
    data = FashionMNIST(root=str(shared / "data/fashion_mnist_small"))
    assert [len(data.split(split).x) for split in ("train", "valid", "test")] == [1900, 100, 500]


def test_eurosat_is_the_exact_mean_of_blocks(shared, tmp_path):
    """Every test picture of the reference set that is among the originals is met to half a grey level."""
    with tarfile.open(shared / "data/eurosat/eurosat64_originals.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    half, whole = EuroSAT(root=str(tmp_path)), EuroSAT(root=str(tmp_path), size=64)
    for split, count in (("train", 170), ("valid", 10), ("test", 20)):
        small, large = half.split(split), whole.split(split)
        assert tuple(small.x.shape) == (count, 3, 32, 32)
        mean = rearrange(large.x.double(), "n x (h a) (w b) -> n x h w (a b)", a=2, b=2).mean(-1)
        assert (small.x - mean).abs().max() <= 0.5
    known = Mosaic(file=str(shared / "data/demo_eurosat32/eurosat32_demo.npz"))
    ours = torch.cat([half.split(split).x for split in ("train", "valid", "test")]).flatten(1).double()
    theirs = torch.cat([known.split(split).x for split in ("train", "valid", "test")]).flatten(1).double()
    gaps = torch.cdist(ours, theirs).min(1).values / ours.shape[1] ** 0.5
    assert int((gaps < 1).sum()) >= 200


def test_a_damaged_eurosat_file_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "eurosat/2750/Forest"
    folder.mkdir(parents=True)
    (folder / "Forest_1.jpg").write_bytes(b"<html>")
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (32, 32)).save(stream, "JPEG")
    (folder / "Forest_2.jpg").write_bytes(stream.getvalue())
    with pytest.raises(UserError, match="2 of 2 samples") as error:
        EuroSAT(root=str(tmp_path)).split("train")
    assert "Forest_1.jpg: not an image" in str(error.value)
    assert "Forest_2.jpg: 32x32 pixels, not 64x64" in str(error.value)


def test_an_interrupted_download_leaves_no_half_set(tmp_path):
    """What was fetched before the failure is not taken for the set by the next attempt."""

    def half(folder):
        (folder / "set").mkdir()
        raise RuntimeError("connection lost")

    for _ in range(2):
        with pytest.raises(UserError, match="connection lost"):
            roots.find_root("the set", None, lambda r: (r / "set").is_dir(), half)
    assert list(roots.cache_folder().iterdir()) == []
    found = roots.find_root("the set", None, lambda r: (r / "set").is_dir(), lambda folder: (folder / "set").mkdir())
    assert (found / "set").is_dir()


def test_cifar_in_its_own_layout(tmp_path, monkeypatch):
    """Batches as upstream writes them, their MD5 taken for the known ones; channels come first."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = ("data_batch_1", "test_batch", "batches.meta")
    pictures = np.arange(20 * 3072, dtype=np.uint32).astype(np.uint8).reshape(20, 3072)
    batch = {"data": pictures, "labels": [i % 10 for i in range(20)]}
    for name in names:
        (folder / name).write_bytes(pickle.dumps({"label_names": ["a"]} if name.endswith("meta") else batch))
    train, test, meta = ([name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [train])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [test])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    data = CIFAR10(root=str(tmp_path))
    assert [len(data.split(split).x) for split in ("train", "valid", "test")] == [10, 10, 20]
    assert torch.equal(data.split("test").x[3], torch.from_numpy(pictures[3].reshape(3, 32, 32)))
    assert len(data.spec.classes) == 10
