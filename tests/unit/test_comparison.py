"""Runs side by side: every field of a protocol counts, only what differs is said, seeds are averaged."""

import copy
import json
import math
import re
import shutil
import subprocess

import pytest
from scipy import stats
from test_protocol import COUNTED, DRAWN, RECONSTRUCTED, TIMED

from hybridgen.comparison.curves import draw_curves, overlays
from hybridgen.comparison.differences import differences
from hybridgen.comparison.entries import entries_of
from hybridgen.comparison.page import page
from hybridgen.comparison.scores import average, protocol_differences, side_by_side
from hybridgen.evaluation.protocol import REQUIRED, SUBJECT, figure
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError

PROTOCOLS = {"drawn": DRAWN, "reconstructed": RECONSTRUCTED, "timed": TIMED, "counted": COUNTED}
CONFIG = {
    "seed": 0,
    "sampler": {"card": "hart", "head_steps": 8},
    "model": {"residual_head": {"card": "flow", "depth": 3}},
}
EVIL = "</script><b>"


def leaves(protocol, path=()):
    """The path of each value of a protocol, nested ones too."""
    for name, value in protocol.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name)


def changed(protocol, path, value):
    protocol = copy.deepcopy(protocol)
    node = protocol
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    return protocol


FIELDS = [(kind, path) for kind, protocol in PROTOCOLS.items() for path in leaves(protocol) if path[0] not in SUBJECT]


@pytest.fixture
def make(tmp_path):
    """Makes a run with figures and curves; nothing is trained."""

    def made(config=CONFIG, figures=None, experiment="demo", loss=1.0):
        run = Run.create(tmp_path, experiment, config, {})
        stored = {"frechet": figure(0.2, DRAWN)} if figures is None else figures
        run.summary.write_text(json.dumps({name: each.to_json() for name, each in stored.items()}))
        for step in range(0, 40, 10):
            run.log(step, {"train/loss": loss / (1 + step), EVIL: loss}, "generator")
            run.log(step, {"held_out/psnr": 20.0}, "tokenizer")
        run.finish()
        return run

    return made


def with_seed(seed, **more):
    return {**CONFIG, "seed": seed, **more}


def test_protocols_here_are_complete():
    """Every field that a figure must have stands in FIELDS, so that none escapes the next test."""
    for kind, names in REQUIRED.items():
        tested = {path[0] for of, path in FIELDS if of == kind}
        assert set(names) - SUBJECT <= tested
        assert "kind" in tested


@pytest.mark.parametrize(("kind", "path"), FIELDS, ids=lambda v: v if isinstance(v, str) else ".".join(v))
def test_changing_any_field_marks_the_figure(make, kind, path):
    before = PROTOCOLS[kind]
    other = "timed" if path == ("kind",) and kind != "timed" else "drawn" if path == ("kind",) else "something else"
    after = changed(before if path != ("kind",) else {**DRAWN, **TIMED, **RECONSTRUCTED, **before}, path, other)
    runs = [make(figures={"it": figure(1.0, before)}), make(figures={"it": figure(2.0, after)})]
    first, second = side_by_side(entries_of(runs))["it"]
    assert not first.mark
    assert second.value == 2.0, "the figure is shown all the same"
    assert second.mark.startswith("not comparable: ")
    assert any(line.startswith(f"{'.'.join(path)}: ") for line in second.differs)


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_field_more_or_less_marks_the_figure(kind):
    more = {**PROTOCOLS[kind], "cropped": None}
    assert protocol_differences(PROTOCOLS[kind], more) == ("cropped: null instead of -",)
    assert protocol_differences(more, PROTOCOLS[kind]) == ("cropped: - instead of null",)


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_what_was_measured_may_differ(kind):
    for name in SUBJECT:
        assert protocol_differences({**PROTOCOLS[kind], name: "a"}, {**PROTOCOLS[kind], name: "b"}) == ()


def test_only_what_differs_is_said():
    same, other = CONFIG, changed(CONFIG, ("sampler", "head_steps"), 4)
    assert differences([[same], [same]]) == {}
    assert differences([[same], [other]]) == {"sampler.head_steps": ["8", "4"]}


def test_another_card_is_one_line():
    """Options of two cards have nothing to do with each other, and a part may be left out."""
    other = changed(CONFIG, ("model", "residual_head"), {"card": "diffusion", "inner": 2.0})
    without = changed(CONFIG, ("model", "residual_head"), None)
    found = differences([[CONFIG], [other], [without]])
    assert found == {"model.residual_head": ["flow(depth=3)", "diffusion(inner=2.0)", "null"]}


def test_a_key_that_one_has_not():
    assert differences([[CONFIG], [CONFIG | {"init": "x"}]]) == {"init": ["-", "x"]}


def test_grouping_by_seed(make):
    other = {"sampler": {"card": "hart", "head_steps": 4}}
    runs = [make(with_seed(0)), make(with_seed(0, **other)), make(with_seed(1)), make(with_seed(2, runs="elsewhere"))]
    entries = entries_of(runs, "seed")
    assert [len(entry.runs) for entry in entries] == [3, 1]
    assert entries[0].name.endswith(" and 2 more")
    assert differences([entry.configs for entry in entries]) == {
        "seed": ["0, 1, 2", "0"],
        "sampler.head_steps": ["8", "4"],
        "runs": ["-, elsewhere", "-"],
    }


def test_the_same_seeds_are_no_difference():
    wide = {"sampler": {"card": "hart", "head_steps": 4}}
    groups = [[with_seed(0), with_seed(1)], [with_seed(1, **wide), with_seed(0, **wide)]]
    assert differences(groups) == {"sampler.head_steps": ["8", "4"]}


def test_grouping_by_another_key(make):
    """What has the same value there is put together, whatever else differs."""
    runs = [make(with_seed(seed, sampler={"head_steps": steps})) for seed in (0, 1) for steps in (2, 8)]
    assert [(e.name, len(e.runs)) for e in entries_of(runs, "sampler.head_steps")] == [
        ("sampler.head_steps=2", 2), ("sampler.head_steps=8", 2),
    ]  # fmt: skip
    with pytest.raises(
        UserError, match=r"--group-by: unknown key 'sampler.head_step'. Did you mean 'sampler.head_steps'"
    ):
        entries_of(runs, "sampler.head_step")


def test_a_mean_has_students_interval(make):
    values = [0.2, 0.5, 0.3]
    runs = [make(with_seed(i), {"frechet": figure(v, DRAWN)}) for i, v in enumerate(values)]
    (cell,) = side_by_side(entries_of(runs, "seed"))["frechet"]
    low, high = stats.t.interval(0.95, 2, sum(values) / 3, stats.sem(values))
    assert (cell.value, cell.runs, cell.mark) == (pytest.approx(1 / 3), 3, "")
    assert cell.interval == pytest.approx((low, high))
    assert average([1.0, 1.0]).low == 1.0


def test_a_mean_over_different_protocols_is_marked(make):
    """Also when the odd one out is in the first group, whose first protocol all are held against."""
    few = changed(DRAWN, ("drawn",), 500)
    runs = [make(with_seed(0)), make(with_seed(1), {"frechet": figure(0.1, few)})]
    (cell,) = side_by_side(entries_of(runs, "seed"))["frechet"]
    assert cell.mark == "not comparable: drawn: 500 instead of 2000"


def test_a_figure_that_one_has_not(make):
    runs = [make(figures={}), make(), make()]
    cells = side_by_side(entries_of(runs))["frechet"]
    assert cells[0] is None
    assert [cell.mark for cell in cells[1:]] == ["", ""]


def test_a_run_named_twice_counts_once(make):
    run = make()
    assert len(entries_of([run, Run(run.path), make()])) == 2


def test_a_damaged_summary_is_named(make):
    run = make()
    run.summary.write_text('{"frechet": 3}')
    with pytest.raises(UserError, match=r"summary\.json: damaged: not a summary"):
        entries_of([run])


def test_curves_lie_on_each_other(make):
    entries = entries_of([make(with_seed(0), loss=1.0), make(with_seed(1), loss=3.0), make({}, loss=5.0)], "seed")
    found = {overlay.title: overlay for overlay in overlays(entries)}
    assert "tokenizer: psnr held out" not in found, "a curve that all share tells nothing"
    line, other = found["generator: loss train"].lines
    assert (line.steps, other.entry) == ([0, 10, 20, 30], 1)
    assert (line.low[0], line.mean[0], line.high[0], other.mean[0]) == (1.0, 2.0, 3.0, 5.0)


def test_curves_as_a_picture(make, tmp_path):
    entries = entries_of([make(loss=1.0), make(loss=2.0)])
    file = draw_curves(overlays(entries), [entry.name for entry in entries], tmp_path / "curves")
    assert file.read_bytes()[:4] == b"\x89PNG"


def test_the_page_needs_no_network_and_no_trust(make):
    """Nothing is fetched, and no name of a run, key or value ends the script or opens a tag."""
    runs = [
        make(with_seed(0, note=EVIL)),
        make(with_seed(1), {"frechet": figure(0.1, {**DRAWN, "device": EVIL})}, loss=2.0),
    ]
    entries = entries_of(runs)
    text = page(entries, differences([e.configs for e in entries]), side_by_side(entries), overlays(entries), [], 0)
    assert EVIL not in text
    assert "<b>" not in text.replace("<b>demo/", "")
    assert not re.search(r'(?:src|href)="(?!data:|#)|url\(|@import|fetch\(|XMLHttp', text)
    assert "not comparable: device: &lt;/script&gt;" in text
    data = json.loads(re.search(r"id=data>(.*?)</script>", text).group(1))
    assert [panel["title"] for panel in data["panels"]] == ["generator: loss train", "generator: < script><b>"]
    assert all(math.isfinite(v) for panel in data["panels"] for line in panel["lines"] for v in line["mean"])


PROBE = """<script>
const picture = document.querySelector(".panel svg"), place = picture.getBoundingClientRect();
picture.dispatchEvent(new PointerEvent("pointermove", {clientX: place.left + place.width * 0.99, clientY: place.top}));
const read = document.querySelector(".readout").textContent;
document.querySelectorAll("button[data-entry]")[1].click();
document.title = `${read} paths ${document.querySelector(".panel").querySelectorAll("path").length}`;
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_the_page_answers_in_a_browser(make, tmp_path):
    """Pointing at a panel reads every curve there; a click on a name hides its curve."""
    entries = entries_of([make(loss=1.0), make(loss=2.0)])
    text = page(entries, {}, side_by_side(entries), overlays(entries), [], 0)
    (tmp_path / "page.html").write_text(text.replace("</body>", PROBE))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    done = subprocess.run(
        ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    title = re.search("<title>(.*?)</title>", done.stdout).group(1)
    assert title.startswith("step 30"), title
    assert "0.03226" in title, "1 / 31"
    assert "0.06452" in title, "2 / 31"
    assert title.endswith("paths 1"), title
