"""`hybridgen data`: what is printed agrees with what lies in the folder; damage is named, and nothing is guessed."""

import json

import pytest
import torch
from images import image_folder

from hybridgen.cli import main


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A folder of 40 images in two classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    medium, draw = image_folder(size=16).medium, torch.Generator().manual_seed(0)
    for name, count in (("cat", 30), ("dog", 10)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            stored = torch.randint(0, 256, (3, 16, 16), generator=draw, dtype=torch.uint8)
            medium.write(tmp_path / "photos" / name / f"{i}.png", stored, {})
    return tmp_path / "photos"


def look(*words):
    return main(["data", "image/hart_folder", "data.root=photos", "data.medium.size=16", *words])


def test_counts(shapes, capsys):
    assert look("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"train": 34, "valid": 2, "test": 4}
    assert [sum(found["classes"][name]) for name in ("cat", "dog")] == [30, 10]
    assert (found["stored_bytes"], found["damage"], found["tokens"]) == (3 * 16 * 16, [], found["tokens"])
    assert found["token_bytes"] is None
    assert "the latent's grid is (4, 4)" in found["tokens"]
    assert look("data.medium.size=32", "--json") == 0
    assert json.loads(capsys.readouterr().out)["tokens"] == "memory"
    page = (shapes.parent / found["page"]).read_text()
    assert "data:image/png;base64" in page
    assert "cat" in page
    assert "Files that cannot be used" not in page


def test_damage_is_named_in_full(shapes, capsys):
    for i in range(12):
        (shapes / "cat" / f"bad{i:02}.png").write_bytes(b"junk")
    assert look() == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == [f"cat/bad{i:02}.png" for i in range(12)]
    assert "data.max_bad_files=12" in err
    assert not (shapes.parent / "runs").exists()
    assert look("data.max_bad_files=12") == 0
    out, _ = capsys.readouterr()
    assert "12, left out" in out
    assert "cat/bad11.png" in out
    assert "cat/bad11.png" in (shapes.parent / "runs/data/hart_folder.html").read_text()


def test_absent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "image/hart_folder", "data.root=nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
