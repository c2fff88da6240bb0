"""Sources of samples: a folder, a list, tar shards, the datasets library: the same tensors for the same files."""

import csv
import io
import json
import shutil
import tarfile
import zipfile

import pytest
import torch
from images import image_folder

from hybridgen.data.base import SPLITS
from hybridgen.data.huggingface import HuggingFace
from hybridgen.data.manifest import Manifest
from hybridgen.data.tar import Tar
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError

MEDIUM = ImageMedium(size=16)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Indexes of these tests stay among themselves."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """200 real photographs, 20 in each of 10 class folders."""
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(shared / "data/eurosat/eurosat64_originals.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "eurosat" / "2750"


def files_of(photos):
    return sorted(file for file in photos.rglob("*.jpg"))


def add(archive, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def rows_of(photos):
    return [{"file_name": str(f.relative_to(photos)), "label": f.parent.name, "text": f.stem} for f in files_of(photos)]


def as_jsonl(photos, folder):
    file = folder / "list.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows_of(photos)))
    return Manifest(file=str(file), root=str(photos), medium=MEDIUM)


def as_csv(photos, folder):
    file = folder / "list.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file_name", "label", "text"])
        writer.writeheader()
        writer.writerows(rows_of(photos))
    return Manifest(file=str(file), root=str(photos), medium=MEDIUM)


def as_parquet(photos, folder):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows_of(photos)), folder / "list.parquet")
    return Manifest(file=str(folder / "list.parquet"), root=str(photos), medium=MEDIUM)


def as_tar(photos, folder):
    """Two shards, as webdataset names things."""
    for part, files in enumerate((files_of(photos)[:90], files_of(photos)[90:])):
        with tarfile.open(folder / f"part-{part}.tar", "w") as archive:
            for file in files:
                for ending, content in ((".jpg", file.read_bytes()), (".cls", file.parent.name.encode())):
                    add(archive, file.stem + ending, content)
                add(archive, f"{file.stem}.txt", file.stem.encode())
    return Tar(root=str(folder), medium=MEDIUM)


def as_datasets(photos, folder):
    pytest.importorskip("datasets")
    return HuggingFace(path="imagefolder", files=str(photos / "**" / "*.jpg"), medium=MEDIUM)


def as_webdataset(photos, folder):
    """The library reads classes there as whole numbers."""
    pytest.importorskip("datasets")
    names = sorted({file.parent.name for file in files_of(photos)})
    with tarfile.open(folder / "all.tar", "w") as archive:
        for file in files_of(photos):
            add(archive, f"{file.stem}.jpg", file.read_bytes())
            add(archive, f"{file.stem}.cls", str(names.index(file.parent.name)).encode())
    return HuggingFace(path="webdataset", files=str(folder / "all.tar"), medium=MEDIUM)


def as_parquet_of_images(photos, folder):
    pyarrow = pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": f.read_bytes(), "path": None} for f in files_of(photos)]
    features = datasets.Features({"image": datasets.Image(decode=False), "label": datasets.Value("string")})
    table = datasets.Dataset.from_dict({"image": cells, "label": [f.parent.name for f in files_of(photos)]}, features)
    assert pyarrow is not None
    table.to_parquet(str(folder / "photos.parquet"))
    return HuggingFace(path="parquet", files=str(folder / "photos.parquet"), medium=MEDIUM)


SOURCES = (as_jsonl, as_csv, as_parquet, as_tar, as_datasets, as_webdataset, as_parquet_of_images)


@pytest.mark.parametrize("make", SOURCES, ids=[make.__name__ for make in SOURCES])
def test_the_same_files_give_the_same_tensors(photos, tmp_path, make):
    folder, other = image_folder(str(photos), size=16), make(photos, tmp_path)
    assert len(other.spec.classes) == len(folder.spec.classes) == 10
    assert make is as_webdataset or other.spec == folder.spec
    for name in SPLITS:
        ours, theirs = folder.split(name), other.split(name)
        assert torch.equal(theirs.stored(torch.arange(len(theirs))), ours.stored(torch.arange(len(ours))))
        assert torch.equal(theirs.labels, ours.labels)


def test_captions_come_along(photos, tmp_path):
    for make in (as_jsonl, as_tar):
        split = make(photos, tmp_path).split("test")
        assert all(len(texts) == 1 and "_" in texts[0] for texts in split.columns["text"])


def test_large_sets_are_read_when_they_are_needed(photos, monkeypatch):
    """Above a bound nothing but names stays in memory; the samples are the same."""
    small = image_folder(str(photos), size=16).split("train")
    monkeypatch.setattr("hybridgen.data.collection.IN_MEMORY", 0)
    large = image_folder(str(photos), size=16).split("train")
    rows = torch.tensor([5, 0, 7])
    assert type(large) is not type(small)
    assert torch.equal(large.stored(rows), small.stored(rows))
    assert torch.equal(large[3]["x"], small[3]["x"])


def test_a_second_look_reads_nothing_anew(photos, tmp_path, monkeypatch):
    folder = tmp_path / "some"
    shutil.copytree(photos / "Forest", folder / "Forest")
    before = image_folder(str(folder), size=16).fingerprint()
    seen = []
    decode = ImageMedium.decode
    monkeypatch.setattr(ImageMedium, "decode", lambda self, *a: seen.append(a[1]) or decode(self, *a))
    data = image_folder(str(folder), size=16)
    assert data.fingerprint() == before
    assert seen == [], "names, sizes and times are what they were"
    (folder / "Forest" / "Forest_1.jpg").unlink(missing_ok=True)
    victim = sorted((folder / "Forest").iterdir())[0]
    victim.write_bytes(sorted((folder / "Forest").iterdir())[1].read_bytes())
    assert image_folder(str(folder), size=16).fingerprint() != before


def test_damaged_files_are_named_and_may_be_left_out(photos, tmp_path):
    folder = tmp_path / "some"
    shutil.copytree(photos / "Forest", folder / "Forest")
    victim = sorted((folder / "Forest").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:300])
    with pytest.raises(UserError, match=r"1 of 20 samples cannot be used(.|\n)*data\.max_bad_files=1") as error:
        image_folder(str(folder), size=16).split("train")
    assert victim.name in str(error.value)
    whole = image_folder(str(folder), size=16, max_bad_files=1)
    assert sum(len(whole.split(name)) for name in SPLITS) == 19
    assert len(whole.collection.damage) == 1


def test_bad_lines_are_named(shared, tmp_path):
    """Each of the faults by its line: cut JSON, no file, empty list, empty text, a way out, Latin-1, named twice."""
    shutil.copy(shared / "data/broken/captions_bad_lines.jsonl", tmp_path / "metadata.jsonl")
    with pytest.raises(UserError) as error:
        Manifest(file=str(tmp_path / "metadata.jsonl"), medium=MEDIUM).split("train")
    for line in (2, 3, 4, 5, 6, 7, 10):
        assert f"metadata.jsonl:{line}: " in str(error.value)
    for line in (1, 8, 9):
        assert f"metadata.jsonl:{line}: " not in str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"file_name": "../x.png"}, "lies outside"),
        ({"file_name": "/etc/passwd"}, "lies outside"),
        ({"file_name": "none.png"}, "there is no such file"),
        ({"file_name": "a.png", "split": "trial"}, "unknown split 'trial'"),
        ({"text": "a"}, "names no file"),
    ],
)
def test_rows_that_mislead(tmp_path, row, says):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "list.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=says):
        Manifest(file=str(tmp_path / "list.jsonl"), medium=MEDIUM).split("train")


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "inside" / "a.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "inside" / "list.jsonl").write_text('{"file_name": "a.png"}\n')
    with pytest.raises(UserError, match="leads out of"):
        Manifest(file=str(tmp_path / "inside" / "list.jsonl"), medium=MEDIUM).split("train")


def test_shards_that_cannot_be_used(photos, tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        Tar(root=str(tmp_path / "none"), medium=MEDIUM).split("train")
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UserError, match="damaged or no tar file"):
        Tar(root=str(tmp_path), medium=MEDIUM).split("train")
    (tmp_path / "x.tar").unlink()
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        add(archive, "a.jpg", b"x")
    with pytest.raises(UserError, match="compressed shard"):
        Tar(root=str(tmp_path), medium=MEDIUM).split("train")


def test_nothing_is_fetched_unasked(monkeypatch):
    pytest.importorskip("datasets")
    with pytest.raises(UserError, match="nothing is fetched unasked"):
        HuggingFace(path="somebody/photos", medium=MEDIUM).split("train")


@pytest.mark.parametrize("name", ["train", "valid"])
def test_layouts(photos, tmp_path, name):
    """train + val: val is read; a flat test folder beside classes is refused; loose files beside classes too."""
    for kind in ("train", "val"):
        shutil.copytree(photos / "Forest", tmp_path / kind / "Forest")
        shutil.copytree(photos / "River", tmp_path / kind / "River")
    data = image_folder(str(tmp_path), size=16)
    assert [len(data.split(s)) for s in SPLITS] == [36, 40, 4]
    shutil.copytree(photos / "Forest", tmp_path / "test")
    with pytest.raises(UserError, match=r"20 of 100 images have no class"):
        image_folder(str(tmp_path), size=16).split(name)
    shutil.rmtree(tmp_path / "test")
    shutil.copy(sorted((photos / "Forest").iterdir())[0], tmp_path / "train" / "loose.jpg")
    with pytest.raises(UserError, match="1 images lie beside the folders of classes"):
        image_folder(str(tmp_path), size=16).split(name)


BROKEN = (
    "zero_bytes.png", "text_named.png", "html_error_page.jpg", "truncated_half.jpg", "truncated_header.jpg",
    "truncated_idat.png", "bad_ihdr_crc.png", "zero_width.png", "bomb_header_50000x50000.png",
    "bomb_warning_10000x10000_1bit.png",
)  # fmt: skip
WHOLE = ("jpeg_named.png", "garbage_exif.jpg")


def mixed_with_broken(shared, photos, folder):
    """Ten whole photographs, the broken files of the reference data, and two that are strange but whole."""
    folder.mkdir()
    for file in files_of(photos)[::20]:
        shutil.copy(file, folder / file.name)
    for name in (*BROKEN, *WHOLE):
        shutil.copy(shared / "data/broken" / name, folder / name)
    return folder


def listed(folder):
    (folder / "list.jsonl").write_text(
        "".join(json.dumps({"file_name": f.name}) + "\n" for f in sorted(folder.iterdir()) if f.suffix != ".jsonl")
    )
    return {"file": str(folder / "list.jsonl")}


def packed(folder):
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "a.tar", "w") as archive:
        for file in sorted(folder.glob("*.*g")):
            add(archive, file.name, file.read_bytes())
    return {"root": str(folder / "shards")}


@pytest.mark.parametrize("kind", ["folder", "manifest", "tar", "huggingface"])
def test_broken_files_through_each_source(shared, photos, tmp_path, kind):
    """Ten are refused together, each by its name and reason; the two strange ones load."""
    folder = mixed_with_broken(shared, photos, tmp_path / "all")

    def data(most):
        if kind == "folder":
            return image_folder(str(folder), size=16, max_bad_files=most)
        if kind == "manifest":
            return Manifest(**listed(folder), medium=MEDIUM, max_bad_files=most)
        if kind == "tar":
            return Tar(
                **(packed(folder) if not most else {"root": str(folder / "shards")}), medium=MEDIUM, max_bad_files=most
            )
        pytest.importorskip("datasets")
        return HuggingFace(path="imagefolder", files=str(folder / "*.*g"), medium=MEDIUM, max_bad_files=most)

    with pytest.raises(UserError, match="10 of 22 samples cannot be used") as error:
        data(0).split("train")
    for name in BROKEN if kind != "huggingface" else ():
        assert name in str(error.value)
    assert sum(len(data(10).split(name)) for name in SPLITS) == 12


def test_every_encoding_through_each_source(shared, tmp_path):
    """The 27 encodings of the reference folder: one image folder, one list, one shard, the same tensors."""
    with zipfile.ZipFile(shared / "data/photos_mixed/photos_mixed.zip") as archive:
        archive.extractall(tmp_path / "x")
    root = next(p.parent for p in (tmp_path / "x").rglob("manifest.jsonl"))
    folder = next(p for p in (root, *root.iterdir()) if p.is_dir() and sum(c.is_dir() for c in p.iterdir()) == 8)
    files = sorted(f for f in folder.rglob("*") if f.is_file() and MEDIUM.reads(f))
    assert len({f.suffix for f in files}) >= 8
    lines = [json.dumps({"file_name": str(f.relative_to(folder)), "label": f.parent.name}) for f in files]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "a.tar", "w") as archive:
        for i, file in enumerate(files):
            add(archive, f"{i:04}{file.suffix}", file.read_bytes())
            add(archive, f"{i:04}.cls", file.parent.name.encode())
    found = [
        image_folder(str(folder), size=16),
        Manifest(file=str(tmp_path / "list.jsonl"), root=str(folder), medium=MEDIUM),
        Tar(root=str(tmp_path / "shards"), medium=MEDIUM),
    ]
    parts = [torch.cat([data.split(s).stored(torch.arange(len(data.split(s)))) for s in SPLITS]) for data in found]
    assert len(parts[0]) == 100
    assert torch.equal(parts[0], parts[1])
    assert torch.equal(parts[0], parts[2])
