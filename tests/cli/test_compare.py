"""`hybridgen compare`: two runs in, tables and a folder out; what cannot be is said in one message."""

import json
import shutil

import pytest
from PIL import Image
from tiny_run import only

from hybridgen.cli import main
from hybridgen.media.png import read_provenance
from hybridgen.runs.run import Run


@pytest.fixture
def two(tiny_runs, tmp_path):
    """The tiny run, and a copy of it that says to draw with more steps and was judged so."""
    shutil.copytree(tiny_runs, tmp_path / "runs")
    first = only(tmp_path / "runs/tiny")
    second = first.with_name("20990101-000000")
    shutil.copytree(first, second)
    text = (second / "config.yaml").read_text()
    (second / "config.yaml").write_text(text.replace("head_steps: 2", "head_steps: 3"))
    stored = json.loads((second / "summary.json").read_text())
    stored["accuracy"]["protocol"]["sampler"]["head_steps"] = 3
    (second / "summary.json").write_text(json.dumps(stored))
    return tmp_path / "runs", first, second


def test_the_tables(two, capsys):
    runs, first, _ = two
    assert main(["compare", f"tiny/{first.name}", "tiny", "--runs", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "sampler.head_steps" in out
    assert "not comparable: sampler.head_steps: 3 instead of 2" in out
    assert out.count("not comparable") == 1
    assert sorted(p.name for p in runs.parent.iterdir()) == ["runs"], "nothing is written unasked"


def test_many_runs_are_lines(two, capsys):
    _, first, _ = two
    for i in range(5):
        shutil.copytree(first, first.with_name(f"20250101-00000{i}"))
    assert main(["compare", *map(str, sorted(first.parent.glob("*/"))[:7])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.strip().startswith("tiny/20250101-000003") and "0." in line for line in lines)


def test_the_folder(two, tmp_path, capsys):
    _, first, second = two
    assert (
        main(["compare", str(first), str(second), "--out", str(tmp_path / "out"), "--samples", "3", "--seed", "5"]) == 0
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["compare.html", "compare.json", "samples.png"]
    told = json.loads((tmp_path / "out/compare.json").read_text())
    assert told["differences"] == {"sampler.head_steps": ["2", "3"]}
    assert [cell["not_comparable"] for cell in told["figures"]["accuracy"]] == [
        [],
        ["sampler.head_steps: 3 instead of 2"],
    ]
    assert read_provenance(tmp_path / "out/samples.png")["seeds"] == [5, 7]
    assert (tmp_path / "out/compare.html").read_text().count("data:image/png") == 2
    assert "compare.html" in capsys.readouterr().out


def test_json_is_all_that_is_printed(two, capsys):
    _, first, second = two
    assert main(["compare", str(first), str(second), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["runs"] for entry in told["entries"]] == [[f"tiny/{first.name}"], [f"tiny/{second.name}"]]


def test_a_run_without_weights_shows_its_stored_grid(two, tmp_path, capsys):
    _, first, second = two
    (second / "model.safetensors").unlink()
    assert main(["compare", str(first), str(second), "--out", str(tmp_path / "out"), "--samples", "2"]) == 0
    page = (tmp_path / "out/compare.html").read_text()
    assert "has no weights yet" in page
    assert "from its folder, other seeds" in page
    with Image.open(tmp_path / "out/samples.png") as sheet, Image.open(first / "samples.png") as grid:
        assert sheet.height < grid.height, "one row: the run that could draw"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs at least two runs"),
        (["tiny"], "needs at least two runs"),
        (["tiny", "tinny"], "unknown run 'tinny'. Did you mean 'tiny'?"),
        (["tiny", "--group-by", "sed"], "needs at least two runs"),
        (["tiny", "--filter", "metrics.accuracy > 0"], "--filter: there is no"),
        (["tiny", "--out", "FILE"], "a file stands there"),
        (["tiny", "--samples", "-1"], "--samples -1"),
    ],
)
def test_what_cannot_be_is_said(tiny_runs, tmp_path, capsys, arguments, said):
    (tmp_path / "FILE").touch()
    given = [str(tmp_path / "FILE") if word == "FILE" else word for word in arguments]
    assert main(["compare", *given, "--runs", str(tiny_runs)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_filter_finds_runs_in_mlflow(two, capsys):
    runs, first, second = two
    Run(second).note(id="another")
    assert main(["track", "sync", str(first), str(second), "--runs", str(runs)]) == 0
    assert main(["compare", "--runs", str(runs), "--filter", "params.sampler.head_steps = '3'"]) == 2
    assert second.name in capsys.readouterr().err
    assert main(["compare", "--runs", str(runs), "--filter", "metrics.accuracy >= 0", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["entries"]) == 2
    assert main(["compare", "--runs", str(runs), "--filter", "metric accuracy"]) == 2
    assert "--filter metric accuracy: " in capsys.readouterr().err
