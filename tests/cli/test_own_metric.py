"""A metric of one's own, one file and one card in a folder: every command shows its figures by their titles."""

import contextlib
import io
import re

import pytest
from tiny_run import ROOT, TINY, only

from hybridgen.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs/how-to/add-a-metric.md").read_text()
EXPERIMENT = f"""
extends: {TINY}
metrics: {{which: [edges]}}
sweep:
  over:
    sampler.head_steps: [1, 2]
  objectives: {{edges: min}}
  sampler: grid
ablate:
  variants:
    base: []
    one_step: [sampler.head_steps=1]
  figures: [edges]
  seeds: 1
"""
TITLES = ("edge distance", "edge distance, without the residual", "edge distance, real against real")


def hybridgen(folder, *arguments, registry=True):
    """What a command printed."""
    out, more = io.StringIO(), ["--registry", "my_parts"] if registry else []
    with contextlib.chdir(folder), contextlib.redirect_stdout(out):
        assert main([*arguments, *more]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the metric of the how-to page and a run that was measured by it; and what training printed."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_parts/metric").mkdir(parents=True)
    for title in ("edges.py", "edges.yaml"):
        (text,) = re.findall(rf'^```\w+ title="{title}"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)
        (folder / "my_parts/metric" / title).write_text(text)
    (folder / "own.yaml").write_text(EXPERIMENT)
    return folder, hybridgen(folder, "train", "./own.yaml")


def test_the_table_and_the_report(trained):
    folder, printed = trained
    assert re.search(r"^  edge distance +\d\.\d{3}$", printed, re.MULTILINE)
    assert re.search(r"^    real against real +\d\.\d{3}$", printed, re.MULTILINE)
    assert re.search(r"^    without the residual +\d\.\d{3}$", printed, re.MULTILINE)
    again = hybridgen(folder, "evaluate", "own")
    assert re.search(r"^  edge distance +\d\.\d{3}$", again, re.MULTILINE)
    assert "edge distance on 2 features of differences of neighbours" in again
    page = (only(folder / "runs/own") / "report.html").read_text()
    assert all(f"{title}</th>" in page for title in TITLES)


def test_compare_needs_no_metric(trained, tmp_path):
    """Titles are stored with the figures."""
    folder, _ = trained
    run = only(folder / "runs/own")
    other = tmp_path / "runs/own" / run.name
    other.parent.mkdir(parents=True)
    other.symlink_to(run)
    copied = tmp_path / "runs/own/20990101-000000"
    copied.mkdir()
    for file in run.iterdir():
        if file.is_file():
            (copied / file.name).write_bytes(file.read_bytes())
    arguments = ("compare", str(run), str(copied), "--samples", "0", "--out", str(tmp_path / "out"))
    printed = hybridgen(folder, *arguments, registry=False)
    assert all(title in printed for title in TITLES)
    page = (tmp_path / "out/compare.html").read_text()
    assert all(f"{title}</th>" in page for title in TITLES)


def test_an_objective_and_a_column(trained):
    folder, _ = trained
    hybridgen(folder, "sweep", "./own.yaml", "--worker")
    assert "2 of 2 trials done" in hybridgen(folder, "sweep", "./own.yaml")
    page = (only(folder / "runs/own/sweeps") / "report.html").read_text()
    assert "edge distance ↓" in page
    assert "<th class=number>edge distance</th>" in page
    hybridgen(folder, "ablate", "./own.yaml", "--worker")
    table = hybridgen(folder, "ablate", "./own.yaml", "--latex")
    head = r"variant & edge distance $\downarrow$ & parameters & MACs per sample & seconds per sample \\"
    assert head in table
    assert r"\textbf{" in table
