"""docs/published.md says what its sources say now: slips, official counts, licences, parameters, cases."""

import json

import pytest

from hybridgen.published.official import official
from tests.parity import page
from tests.parity.reference import Case


@pytest.fixture(scope="module")
def written():
    return page.PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("section", [page.HEAD, page.NOT_RUN, page.slip_table()], ids=["head", "not run", "slips"])
def test_section_is_fresh(written, section):
    assert section in written, "stale: run make published"


@pytest.mark.slow
def test_parameters_and_licences_are_fresh(written):
    assert page.models() in written, "stale: run make published"


def test_every_official_count_is_in_its_row(written):
    """What needs minutes to count again is held to 1 % by test_costs."""
    rows = [row.split(" | ") for row in written.splitlines()]
    for entry in official().values():
        for count in entry.counts:
            said = [f"| `{entry.model}`", " ".join(count.overrides) or "as published"]
            (row,) = [row for row in rows if row[:2] == said]
            assert row[4] == page.giga(count.generator)
            assert abs(float(row[5].split()[0])) <= 1


@pytest.mark.parametrize("name", page.CASES)
def test_every_output_of_a_case_is_accounted_for(written, name):
    """The page was made from all that is stored now."""
    case = Case(name)
    stored = len(case.outs) + sum(key.startswith("out.") for key in case.left_out)
    (row,) = [row for row in written.splitlines() if row.startswith(f"| `{name}` | {page.CASES[name]} |")]
    compared, whole = row.strip("| ").split(" | ")[2].split(" of ")
    assert int(whole) == stored == int(compared)


def test_a_partial_account_is_refused(tmp_path):
    """In a checkout without the reference data some cases are skipped; the page is not written from the rest."""
    (tmp_path / "var.json").write_text(json.dumps({"outputs": 1, "compared": {"a": [0.0, 0.0]}}))
    with pytest.raises(AssertionError, match="no account of"):
        page.outputs(tmp_path)
