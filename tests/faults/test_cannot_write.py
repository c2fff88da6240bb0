"""What cannot be written is one message that names the place, said before any work is done; nothing is left behind."""

import pytest
from tiny_run import SWEPT, TINY

from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.system.files import CannotWriteError, check_writable, lock, write_atomic

NOWHERE = ("/proc/nowhere", "n" * 300, "file/below")


@pytest.mark.parametrize("place", NOWHERE)
def test_every_verb_that_writes_says_so_first(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "swept.yaml").write_text(SWEPT)
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ["train", str(TINY), f"runs={place}"],
        ["sweep", "swept.yaml", f"runs={place}"],
        ["sample", "x.safetensors", "--out", place],
        ["evaluate", "x.safetensors", "--out", f"{place}/figures.json"],
        ["judge", "fashion28", "--out", f"{place}/judge.safetensors"],
        ["replay", "x.png", "--out", f"{place}/again.png"],
        ["import", str(TINY), "x.pth", "--out", place],
    ):
        assert main(words) == 2, words
        out, err = capsys.readouterr()
        assert "cannot write" in err or "is a file; name a folder" in err, err
        assert (out, err.count("Traceback")) == ("", 0)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_tried_is_taken_away_again(tmp_path):
    check_writable(tmp_path / "a/b/c", "--out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWriteError, match="is a file; name a folder"):
        check_writable(tmp_path / "file", "--out")


def test_writers_say_where(tmp_path):
    (tmp_path / "file").write_text("")
    below = tmp_path / "file/x"
    for write in (lambda: write_atomic(below, "x"), lambda: lock(below).__enter__(), lambda: Run.at(below, {}, {})):
        with pytest.raises(CannotWriteError, match=f"cannot write {below}"):
            write()
    with pytest.raises(Exception, match="is not valid UTF-8"):
        write_atomic(tmp_path / "y", "\udcff")


def test_a_full_disk_is_told_whatever_the_library_raises(tmp_path, monkeypatch):
    from hybridgen.system import files

    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(CannotWriteError, match="no space is left"), files.atomic_path(tmp_path / "x"):
        raise RuntimeError("PytorchStreamWriter failed")
