"""A headless Chromium, and a folder in which everything that has a page was made: a run, a sweep, and so on."""

import contextlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tiny_run import TINY, only

from hybridgen.cli import main
from hybridgen.runs.run import Run

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
# One generator for all: nothing but the sampler is varied.
EXPERIMENT = f"""
extends: {TINY}
sweep:
  over: {{sampler.head_steps: [1, 2, 4]}}
  objectives: {{accuracy: max, macs: min}}
  sampler: grid
ablate:
  variants:
    base: []
    many_steps: ["sampler.head_steps=8"]
  figures: [accuracy, psnr_residual]
"""


@dataclass
class Seen:
    """A page, and what it did while it was looked at."""

    page: Any
    faults: list[str] = field(default_factory=list)  # errors on the console, and those that nobody caught
    requests: list[str] = field(default_factory=list)  # addresses, but for what travels inside the page


@dataclass(frozen=True)
class House:
    """A folder, in which were made: a training run, a study, an ablation, and a comparison of two runs."""

    folder: Path
    trained: Run
    study: Run
    ablation: Run
    compared: Path


@pytest.fixture(scope="module")
def chromium():
    """The browser; by Playwright, which waits for what it is asked about, so that no test sleeps."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser on the PATH: {', '.join(PROGRAMS)} (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright: pip install -e '.[dev]'")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def seen(chromium):
    """An empty page in a fresh profile."""
    with chromium.new_context(viewport={"width": 1400, "height": 1000}) as context:
        found = Seen(context.new_page())
        found.page.set_default_timeout(120_000)
        found.page.on("console", lambda said: found.faults.append(said.text) if said.type == "error" else None)
        found.page.on("pageerror", lambda error: found.faults.append(str(error)))
        found.page.on("request", lambda asked: found.requests.append(asked.url))
        yield found


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """Made once. Read it, never write."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "house.yaml").write_text(EXPERIMENT)
    with contextlib.chdir(folder):
        assert main(["train", "house.yaml"]) == 0
        trained = Run(only(folder / "runs/house"))
        another = noisier(trained)
        assert main(["compare", str(trained.path), str(another), "--out", "compared", "--samples", "4"]) == 0
        shutil.rmtree(another)
        for words in (["sweep", "house.yaml"], ["ablate", "house.yaml", "--seeds", "1"]):
            assert main([*words, "--worker"]) == 0  # in this process
            assert main(words) == 0
    studies = [Run(path.parent) for path in (folder / "runs/house/sweeps").glob("*/run.json")]
    ablation, study = sorted(studies, key=lambda run: not (run.path / "table.md").exists())
    return House(folder, trained, study, ablation, folder / "compared/compare.html")


def noisier(run):
    """A copy of a run with other curves: a comparison leaves out what is the same."""
    copy = run.path.with_name("20990101-000000")
    shutil.copytree(run.path, copy)
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    for line in lines:
        line["values"] = {name: 1.1 * value for name, value in line["values"].items()}
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return copy
