"""Means, intervals, tests and corrections agree with what scipy and a textbook say; the table shows them."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.sweeps.results.statistics import compare, holm, mean
from hybridgen.sweeps.results.table import as_csv, latex, make_table, markdown, to_json


def test_the_interval_is_students():
    values = [1.0, 2.0, 4.0]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    found = mean(values)
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high))
    assert mean([3.0]).half is None


def test_holm_by_hand():
    """0.01 x 3, 0.02 x 2, 0.03 x 1, never falling: the last keeps the 0.04 of the one before."""
    assert holm({"a": 0.02, "b": 0.01, "c": 0.03}) == pytest.approx({"b": 0.03, "a": 0.04, "c": 0.04})
    assert holm({"a": 0.9, "b": 0.8}) == pytest.approx({"b": 1.0, "a": 1.0})


def test_pairs_are_by_seed():
    """Seeds that differ much hide a small steady gain from an unpaired test, not from a paired one."""
    base = {0: 1.0, 1: 5.0, 2: 9.0}
    other = {2: 8.52, 0: 0.50, 1: 4.49, 7: 3.0}
    found = compare(base, {"other": other})["other"]
    p = stats.ttest_rel([0.50, 4.49, 8.52], [1.0, 5.0, 9.0]).pvalue
    assert found.p == pytest.approx(p)
    assert found.separable
    assert found.pairs == 3
    assert found.difference == pytest.approx(np.mean([-0.5, -0.51, -0.48]))
    assert stats.ttest_ind([0.50, 4.49, 8.52], [1.0, 5.0, 9.0]).pvalue > 0.5


def test_the_correction_counts_the_comparisons():
    """A difference that alone is separable is not so among ten."""
    rng = np.random.default_rng(0)
    base = dict(enumerate(np.zeros(4)))
    close = {0: 0.3, 1: 0.5, 2: 0.2, 3: 0.45}
    alone = compare(base, {"close": close})["close"]
    crowd = {str(i): dict(enumerate(rng.normal(size=4))) for i in range(9)}
    among = compare(base, {"close": close, **crowd})["close"]
    assert alone.separable
    assert among.p == pytest.approx(10 * alone.p)
    assert not among.separable


@pytest.mark.parametrize("other", [{0: 1.5}, {0: 1.0, 1: 2.0}, {5: 1.0}], ids=["one", "equal", "unpaired"])
def test_nothing_is_told_from_nothing(other):
    found = compare({0: 1.0, 1: 2.0}, {"other": other})["other"]
    assert found.p is None
    assert not found.separable


SPECS = {
    "frechet": FigureSpec("frechet", "Fréchet distance", better="low"),
    "accuracy": FigureSpec("accuracy", "accuracy", better="high"),
    "parameters/total": FigureSpec("parameters/total", "parameters"),
}
COSTS = {"parameters/total": 1234.0, "macs": 5e6, "seconds_per_sample": 0.0123}


@pytest.fixture
def table():
    noise = (0.0, 0.01, -0.005)
    runs = {"base": 0.20, "better": 0.10, "same_100%": 0.205}
    bent = {"base": (0, 0, 0), "better": (0.001, 0, 0.001), "same_100%": (-0.02, 0.015, 0.01)}
    figures = {
        name: {s: {"frechet": value + noise[s] + bent[name][s], **COSTS} for s in range(3)}
        for name, value in runs.items()
    }
    return make_table(figures, ["frechet"], "base", SPECS)


def test_markdown(table):
    lines = markdown(table).splitlines()
    assert lines[0] == "| variant | Fréchet distance ↓ | parameters | macs | seconds_per_sample |"
    assert lines[2].startswith("| base | 0.202 ± 0.019 | 1,234 | 5,000,000 | 0.0123 |")
    assert lines[3].startswith("| better | **0.102 ± 0.0"), "best in bold, and told from the base"
    assert "†" not in lines[3]
    assert lines[4].startswith("| same_100% | 0.20")
    assert "†" in lines[4]
    assert "n = 3" in lines[-1]
    assert "not separable at this n" in lines[-1]


def test_latex(table):
    text = latex(table)
    assert r"\begin{tabular}{lrrrr}" in text
    assert r"Fréchet distance $\downarrow$" in text
    assert r"\textbf{0.102 $\pm$ 0.0" in text
    assert r"same\_100\% & " in text
    assert all(line.startswith("%") for line in text.splitlines()[text.splitlines().index(r"\end{tabular}") + 1 :])


def test_csv_and_json_agree(table):
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    better = next(row for row in rows if row["variant"] == "better" and row["figure"] == "frechet")
    stored = to_json(table)["variants"]["better"]["frechet"]
    assert float(better["mean"]) == stored["mean"]
    assert (better["best"], better["separable"]) == ("True", "True")
    assert float(better["p_holm"]) == pytest.approx(stored["p_holm"])


def test_one_seed_says_so():
    table = make_table({"base": {0: {"frechet": 1.0}}, "other": {0: {"frechet": 2.0}}}, ["frechet"], "base", SPECS)
    text = markdown(table)
    assert "±" not in text.splitlines()[2]
    assert "nothing can be told from one run" in text


def test_equals_share_the_first_place():
    table = make_table({v: {0: {"accuracy": 0.5}} for v in ("base", "other")}, ["accuracy"], "base", SPECS)
    assert [row["accuracy"].best for row in table.rows.values()] == [True, True]
    assert not make_table({"base": {}}, ["accuracy"], "base", SPECS).rows["base"]["accuracy"].best
