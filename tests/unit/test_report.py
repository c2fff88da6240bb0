"""The report: one file that needs nothing else, and shows what was logged."""

import math
import re

import numpy as np
import pytest
import torch

from hybridgen.media.image import ImageMedium
from hybridgen.media.image_grid import GAP, image_grid
from hybridgen.report.html import duration, number, write_report
from hybridgen.report.loss_curves import curve_svg, panels, split_name
from hybridgen.report.progression import Progression
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError

EVIL = "<script>alert(1)</script>"


def test_a_grid_puts_pictures_row_by_row_and_enlarges_them():
    pixels = np.zeros((5, 1, 28, 28), np.uint8)
    pixels[:, 0] = np.arange(5)[:, None, None] * 10
    image = np.asarray(image_grid(pixels, 3))
    side = 4 * 28 + GAP
    assert image.shape == (2 * side, 3 * side)
    assert [image[r * side, c * side] for r in range(2) for c in range(3)] == [0, 10, 20, 30, 40, 255]


def test_a_grid_enlarges_pixels_to_squares():
    pixels = np.array([[[[0, 50], [100, 150]]]], np.uint8)
    image = np.asarray(image_grid(pixels))[:96, :96]
    assert np.array_equal(image, np.kron(pixels[0, 0], np.ones((48, 48), np.uint8)))


def test_large_pictures_stay_as_they_are_and_captions_make_room():
    pixels = np.zeros((2, 3, 128, 128), np.uint8)
    plain, titled = image_grid(pixels, 2), image_grid(pixels, column_titles=["a", "b"], row_titles=["dog"])
    assert plain.size == (2 * (128 + GAP), 128 + GAP)
    assert titled.width > plain.width
    assert titled.height > plain.height
    assert titled.crop((0, 0, titled.width, 17)).convert("L").getextrema()[0] < 128, "the titles are written"


def test_long_titles_are_broken_between_words():
    pixels = np.zeros((2, 1, 96, 96), np.uint8)
    short, long = image_grid(pixels, column_titles=["a", "b"]), image_grid(pixels, column_titles=["a", "b " * 40])
    assert long.width == short.width
    assert long.height > short.height
    column = np.asarray(long.convert("L"))[: long.height - 98]
    assert column[:-18, : 96 + GAP].min() == 255, "a stays in its column"
    assert all(column[row : row + 18, 96 + GAP :].min() < 128 for row in range(0, column.shape[0], 18))


def test_long_names_are_broken_before_their_capitals():
    pixels = np.full((2, 1, 96, 96), 255, np.uint8)
    page = image_grid(pixels, column_titles=["HerbaceousVegetation", ""])
    assert page.height > image_grid(pixels, column_titles=["Highway", ""]).height
    assert np.asarray(page.convert("L"))[:, 96 + GAP :].min() == 255, "it stays in its column"


def test_an_empty_grid_is_an_error():
    with pytest.raises(UserError, match="at least one"):
        image_grid(np.zeros((0, 1, 4, 4), np.uint8))


@pytest.mark.parametrize(
    ("name", "panel", "line"),
    [
        ("loss", "loss", ""),
        ("train/loss", "loss", "train"),
        ("held_out/ce", "ce", "held out"),
        ("held_out/ce_scale3", "ce by scale", "held out 3"),
        ("usage/code_book", "usage", "code book"),
        ("train", "train", ""),
        ("up_scaled", "up_scaled", ""),
    ],
)
def test_names_find_their_panels(name, panel, line):
    assert split_name(name) == (panel, line)


def test_curves_leave_out_what_is_not_finite():
    lines = [
        {"stage": "g", "step": i, "values": {"train/loss": v}} for i, v in enumerate([1.0, math.nan, math.inf, 2.0])
    ]
    assert panels(lines) == {"g": {"loss": {"train": [(0, 1.0), (3, 2.0)]}}}


@pytest.mark.parametrize("ordered", [False, True])
def test_a_curve_takes_the_colours_of_the_page(ordered):
    svg = curve_svg({str(i): [(0, 1.0 + i), (1, 2.0 + i)] for i in range(9)}, ordered)
    assert svg.startswith('<svg role="img" ')
    assert "var(--line-1)" in svg
    assert "var(--rule)" in svg
    assert not re.findall(r"(?:fill|stroke): #[0-9a-f]{6}", svg), "a fixed colour is lost on one of two backgrounds"


def make(tmp_path):
    run = Run.create(tmp_path, "demo", {"seed": 0}, {"name": EVIL})
    for step in range(0, 40, 10):
        run.log(step, {"train/loss": 1 / (1 + step), "held_out/loss": 1.0, EVIL: 1.0}, "tokenizer")
        run.log(step, {"train/ce": 3.0, "held_out/ce_scale0": 2.0}, "generator")
    return run


def test_the_page_shows_everything_and_needs_nothing(tmp_path):
    run = make(tmp_path)
    run.finish()
    protocol = {"sentence": f"Of 2,000 pictures {EVIL}.", "head_steps": 8, "ema": True, "seeds": [0, 1999]}
    figures = {
        "frechet": {"value": 1.2512, "interval": [1.1, 1.4], "protocol": protocol},
        "seconds": {"value": 12345.6},
    }
    medium = ImageMedium(size=8)
    sheet = medium.sheet(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), {})
    cell = medium.show(torch.zeros(3, 8, 8, dtype=torch.uint8), "a sample")
    titles = ["scale 1", "scale 2", "residual"]
    shown = Progression("Painting", [[cell] * 3] * 2, titles, ["a", EVIL], "How.")
    page = write_report(run, figures, {"Samples": sheet}, [shown], ["recall is left out"]).read_text()
    assert "recall is left out" in page
    assert page.count("<svg ") == 4  # loss, the hostile name, ce, ce by scale
    assert page.count('<td><img src="data:image/png;base64,') == 6
    for text in ("finished", "1.251", "1.1 to 1.4", "12,346", "Of 2,000 pictures", "head steps", "residual", "torch"):
        assert text in page
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page.replace("xlink:href", "href"))
    assert "url(http" not in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_single_values_are_no_curves_and_details_are_folded(tmp_path):
    run = Run.create(tmp_path, "demo", {}, {})
    run.log(3, {"train/loss": 1.0}, "generator")
    figures = {name: {"value": 0.5} for name in ("accuracy", "accuracy/Bag", "parameters/total", "parameters/join")}
    page = write_report(run, figures).read_text()
    assert "Curves" not in page
    shown, folded = page.split("<details class=more>")
    assert "accuracy</th>" in shown
    assert "parameters/total" in shown
    assert "accuracy/Bag" in folded
    assert "parameters/join" in folded


def test_a_run_without_anything_has_a_page_too(tmp_path):
    run = Run.create(tmp_path, "demo", {}, {})
    page = write_report(run).read_text()
    assert "running" in page
    assert "the experiment as it ships" in page


def test_numbers_and_durations_read_well():
    assert [number(v) for v in (0.0234567, 25.508, 12345.6)] == ["0.02346", "25.51", "12,346"]
    assert [duration(s) for s in (45, 725, 12000)] == ["45 s", "12 min 5 s", "3 h 20 min"]
