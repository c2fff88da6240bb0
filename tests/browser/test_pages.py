"""Reports, studies, ablations and comparisons as files in a browser: whole, legible, and without any network."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PAGES = ("trained", "study", "ablation", "compared")
NARROW = {"width": 390, "height": 800}

EMPTY_PICTURES = """() => [...document.images].filter((image) => {
  if (!image.complete || !image.naturalWidth) return true;
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const data = canvas.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data;
  return image.closest("table.strip") === null && data.every((value, i) => value === data[i % 4]);
}).map((image) => image.alt)"""
EMPTY_DRAWINGS = """() => [...document.querySelectorAll("svg")].filter((svg) => {
  const marks = [...svg.querySelectorAll("path, line")].filter((mark) => {
    const {width, height} = mark.getBoundingClientRect();
    return width + height > 20;
  });
  return marks.length < 3 || svg.querySelectorAll("text").length < 3;
}).length"""
CUT_OFF = """() => [...document.querySelectorAll("svg text")].filter((text) => {
  const [inner, outer] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1
    || inner.bottom > outer.bottom + 1;
}).map((text) => text.textContent)"""


def file_of(house, name):
    return house.compared if name == "compared" else getattr(house, name).report


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_needs_nothing(house, seen, name):
    file = file_of(house, name)
    seen.page.goto(file.as_uri(), wait_until="load")
    assert seen.faults == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [file.as_uri()]
    assert seen.page.evaluate("document.images.length") > 0
    assert seen.page.evaluate(EMPTY_PICTURES) == []
    assert seen.page.evaluate(EMPTY_DRAWINGS) == 0
    assert seen.page.evaluate(CUT_OFF) == []
    assert seen.page.evaluate("[...document.querySelectorAll('section')].every((s) => s.children.length > 1)")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(house, seen, name):
    """Wide tables and grids scroll in place; the page itself does not."""
    seen.page.set_viewport_size(NARROW)
    seen.page.goto(file_of(house, name).as_uri())
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert seen.page.evaluate(CUT_OFF) == []


def test_what_a_study_shows(house, seen):
    page = seen.page
    page.goto(house.study.report.as_uri())
    titles = page.locator("figcaption").all_text_contents()
    assert titles[0] == "Front"
    assert {"History of accuracy by the judge", "History of MACs per sample", "Parallel coordinates"} <= {*titles}
    assert page.locator("figure > svg").count() == len(titles)
    trials = page.locator("section", has=page.get_by_role("heading", name="Trials", exact=True))
    assert trials.locator("tbody tr").count() == len(house.study.children) == 3
    trials.locator("summary").first.click()
    assert "hybridgen train house.yaml sampler.head_steps=" in trials.locator("pre").first.inner_text()


def test_a_study_follows_the_colours_of_the_screen(house, chromium):
    """Drawings too: their text is light on a dark page."""
    with chromium.new_context(color_scheme="dark") as context:
        page = context.new_page()
        page.goto(house.study.report.as_uri())
        ink = page.locator("figure svg text").first.evaluate("(text) => getComputedStyle(text).fill")
        paper = page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
    assert brightness(ink) > 120 > brightness(paper)


def brightness(colour):
    """The mean of `rgb(r, g, b)`."""
    return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) / 3


def test_what_an_ablation_shows(house, seen):
    page = seen.page
    page.goto(house.ablation.report.as_uri())
    table = page.locator("table").first
    assert table.locator("tbody tr td:first-child").all_text_contents() == ["base", "many_steps"]
    assert page.locator(".sheets figcaption").all_text_contents() == ["base", "many_steps"]
    left, right = (box.bounding_box() for box in page.locator(".sheets figure").all())
    assert left["y"] == right["y"], "side by side"


def test_curves_of_a_comparison_can_be_pointed_at_and_hidden(house, seen):
    page = seen.page
    page.goto(house.compared.as_uri())
    panel = page.locator("figure.panel").first
    assert panel.locator("svg path").count() == 2
    panel.locator("svg").hover()
    assert panel.locator(".readout span").count() == 2
    page.locator("button[data-entry='1']").click()
    assert panel.locator("svg path").count() == 1
    assert seen.faults == []
