"""`hybridgen ui` in a browser: the runs and what is nested in them, the curve of a metric, a grid of samples."""

import signal
import urllib.request

import pytest
from PIL import Image
from tiny_run import ended, start

from hybridgen.tracking.server import TABLE
from hybridgen.tracking.store import title

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DRAWN = """() => [...document.querySelectorAll(".js-plotly-plot path.js-line")]
  .some((path) => (path.getAttribute("d") || "").split("L").length >= 3)"""
SIZE = "(image) => image.complete && image.naturalWidth ? [image.naturalWidth, image.naturalHeight] : null"


@pytest.fixture(scope="module")
def link(house, chromium):
    """The link that the command prints; it is stopped as a service manager would."""
    runs = [str(each.path) for each in (house.trained, house.study)]
    code, _, said = ended(start("track", "sync", *runs, cwd=house.folder), timeout=600)
    assert code == 0, said
    process = start("ui", "house", "--port", "5700", cwd=house.folder)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        code, _, said = ended(process)
    assert code == 0, said
    assert "stopped" in said


def test_the_link_answers_at_once(link):
    """It is printed when the server is ready, not before."""
    assert link.startswith("http://127.0.0.1:57")
    assert link.endswith(TABLE)
    with urllib.request.urlopen(link.partition("#")[0], timeout=30) as answer:
        assert answer.status == 200


def test_the_table_shows_parents_and_what_is_nested_in_them(link, house, seen):
    page = seen.page
    page.goto(link)
    assert page.get_by_text("Evaluation runs").count() == 0, "the pages for training, not those for chat agents"
    nested = {house.trained.name: [f"tokenizer {house.trained.name}", f"generator {house.trained.name}"]}
    nested[house.study.name] = [title(trial) for trial in house.study.children]
    assert nested[house.study.name] == [f"000{i} head_steps={steps}" for i, steps in enumerate((1, 2, 4))]
    for parent, children in nested.items():
        cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=parent, exact=True))
        cell.wait_for()
        assert not any(page.get_by_role("link", name=child, exact=True).count() for child in children), "folded"
        cell.get_by_role("button").click()
        for child in children:
            page.get_by_role("link", name=child, exact=True).wait_for()
    away = [url for url in seen.requests if not url.startswith((link.partition("#")[0], "data:", "blob:"))]
    assert away == [], "nothing is fetched from anywhere else"


def test_a_curve_is_drawn(link, house, seen):
    page = seen.page
    page.goto(link)
    cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=house.trained.name, exact=True))
    cell.get_by_role("button").click()
    page.get_by_role("link", name=f"generator {house.trained.name}", exact=True).click()
    page.get_by_role("tab", name="Model metrics").click()
    page.wait_for_function(DRAWN)


def test_a_grid_of_samples_is_shown(link, house, seen):
    """Of a trial, found through its study."""
    page, trial = seen.page, house.study.children[0]
    page.goto(link)
    cell = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=house.study.name, exact=True))
    cell.get_by_role("button").click()
    page.get_by_role("link", name=title(trial), exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("samples.png", exact=True).first.click()
    with Image.open(trial.path / "samples.png") as grid:
        size = list(grid.size)
    image = page.locator("img[alt='samples.png']")
    image.wait_for()
    assert image.evaluate(SIZE) == size


def test_the_report_of_a_study_is_shown_too(link, house, seen):
    page = seen.page
    page.goto(link)
    page.get_by_role("link", name=house.study.name, exact=True).click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("report.html", exact=True).first.click()
    report = page.frame_locator("iframe")
    report.get_by_role("heading", name="Sweep of house").wait_for()
    assert report.locator("figure > svg").count() == 4
