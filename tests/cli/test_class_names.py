"""`hybridgen sample --label` on a model of ImageNet's thousand classes: by number, or by name."""

import pytest
from tiny_published import write_run

from hybridgen.cli import main
from hybridgen.media.png import read_provenance


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model of codes alone in small, as `hybridgen import` would leave it."""
    names = ["data.classes=1000", "data.names=imagenet"]
    return str(write_run(tmp_path_factory.mktemp("classes") / "run", "layout_var", *names))


def test_a_class_by_number_and_by_name(run, tmp_path):
    asked = ["sample", run, "--label", "207,golden retriever", "--seed", "0", "-n", "2", "--out", str(tmp_path)]
    assert main(asked) == 0
    for i in range(2):
        said = read_provenance(tmp_path / f"seed_{i:06d}.png")
        assert (said["label"], said["class"]) == (207, "golden retriever")


def test_the_nearest_name_is_told(run, tmp_path, capsys):
    """And not a thousand names with it."""
    assert main(["sample", run, "--label", "golden retreiver", "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "--labels: unknown class 'golden retreiver'. Did you mean 'golden retriever'?\n  known: 1000, such as" in err
    assert len(err) < 300
    assert main(["sample", run, "--label", "1000", "--out", str(tmp_path / "out")]) == 2
    assert "unknown class '1000'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
