"""The live view, as a terminal would show it: running, best so far, pruned, failed, time left."""

import io

import pytest
from dummy_study import dummy, loss
from optuna import TrialPruned
from rich.console import Console

from hybridgen.sweeps.queue.live import MOST, panel, shown
from hybridgen.sweeps.queue.view import Standing, standing
from hybridgen.sweeps.queue.work import work


def seen(found, width=140):
    """The panel's text."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(panel(found))
    return console.export_text()


def lines(text, word):
    return [line.strip() for line in text.splitlines() if line.strip().startswith(word)]


@pytest.fixture
def study(tmp_path):
    """Of 7 trials, 4 have ended in as many ways as there are, and one is in work."""
    made = dummy(tmp_path)
    made.open_tickets(7)

    def run(number, params, report):
        if number == 1:
            raise ValueError("diverged at step 3")
        if number == 2:
            raise TrialPruned("pruned at step 2")
        return {"loss": loss(params)}

    begun = iter(range(10))
    work(made, run, stop=lambda: next(begun) == 4)
    trial = made.claim()
    trial.suggest_float("x", 0.0, 1.0)
    trial.suggest_int("n", 1, 8)
    return made


def test_everything_is_shown(study):
    found = standing(study, 7)
    text = seen(found)
    assert "4 of 7 done" in lines(text, "dummy")[0]
    assert "about" in lines(text, "dummy")[0]
    assert "1 running · 2 waiting · 2 complete · 1 pruned · 1 failed" in text
    best = min((t for t in study.counted() if t.state.name == "COMPLETE"), key=lambda t: t.value)
    assert lines(text, "best")[0].split()[:3] == ["best", "trial", f"{best.number}:"]
    assert lines(text, "running")[0].split()[1] == "4:"
    assert "x=" in lines(text, "running")[0]
    assert "1 x ValueError: diverged at step 3" in lines(text, "failed")[0]


def test_time_left():
    """A question mark before the first trial is complete; nothing at the end."""
    assert "time left: ?" in seen(Standing("s", 4, waiting=4))
    assert "about 1 min 30 s left" in seen(Standing("s", 4, complete=2, waiting=2, seconds_left=90.0))
    over = seen(Standing("s", 4, complete=4))
    assert "left" not in over
    assert "━" * 40 in over, "the bar is full"


def test_a_long_list_is_cut_and_a_long_line_too():
    found = Standing("s", 40, running=[f"{i}: {'x' * 300}" for i in range(20)], waiting=20)
    text = seen(found, width=100)
    assert f"and {20 - MOST} more" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert len(text.splitlines()) == 2 + MOST + 1


def test_a_terminal_sees_it_grow():
    """The last view stays on the screen."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with shown(print, console) as show:
        for done in range(3):
            show(Standing("s", 2, complete=done, waiting=2 - done))
    assert "2 of 2 done" in console.file.getvalue()


def test_without_a_terminal_a_line_says_what_was_done():
    said = []
    with shown(said.append, Console(file=io.StringIO(), force_terminal=False)) as show:
        for done in (0, 0, 1, 1):
            show(Standing("s", 2, complete=done, waiting=2 - done))
    assert [line.split(" trials")[0] for line in said] == ["s: 0 of 2", "s: 1 of 2"]
