"""docs/explanation/equations.md: each line of code that it names still holds what it says. Run as a script, it writes
the line numbers anew."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/explanation/equations.md"
PLACE = re.compile(r"`(?P<file>hybridgen/[\w/]+\.py):(?P<line>\d+)` \| `(?P<held>[^`]+)` \|$", re.MULTILINE)


@cache
def lines(file):
    return (ROOT / file).read_text(encoding="utf-8").splitlines()


def holding(file, held):
    """The numbers of the lines of a file that hold this text."""
    return [number for number, line in enumerate(lines(file), 1) if held in line]


def renumbered(page):
    """The page with each number that of the one line which holds what the row says."""

    def row(match):
        found = holding(match["file"], match["held"])
        assert len(found) == 1, f"{match['file']}: {match['held']!r} stands in lines {found}, not in exactly one"
        return match[0].replace(f":{match['line']}`", f":{found[0]}`", 1)

    return PLACE.sub(row, page)


def test_every_line_holds_its_equation():
    page = PAGE.read_text(encoding="utf-8")
    assert page == renumbered(page), "lines have moved: run python tests/test_equations.py"


def test_every_row_names_a_line():
    """A row that the pattern misses would never be checked."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith("| Equation")]
    assert len(rows) == len(PLACE.findall("\n".join(rows))) > 80


if __name__ == "__main__":
    PAGE.write_text(renumbered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
