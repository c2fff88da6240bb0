"""The live view of a study: how far it is, what runs, the best so far, what failed, how long it still takes."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hybridgen.sweeps.queue.view import Standing, in_words, row_in_words
from hybridgen.system.text import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SPOKEN = 30.0  # seconds between two lines where there is no terminal
MOST = 12  # lines of a kind


@contextmanager
def shown(say: Callable[[str], None], console: "Console | None" = None) -> Iterator[Callable[[Standing], None]]:
    """Takes a standing now and then: a live view on a terminal, elsewhere a line when something was done."""
    from rich.console import Console
    from rich.live import Live

    console = console or Console(file=sys.stderr)
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2) as live:
            yield lambda found: live.update(panel(found))
        return
    last, spoke = -1, 0.0

    def line(found: Standing) -> None:
        nonlocal last, spoke
        if found.done != last or time.monotonic() - spoke > SPOKEN:
            last, spoke = found.done, time.monotonic()
            say(in_words(found).splitlines()[0])

    yield line


def panel(found: Standing) -> "RenderableType":
    """A standing as rich shows it."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    top = Table.grid(padding=(0, 2))
    left = f"about {duration(found.seconds_left)} left" if found.seconds_left else "" if found.over else "time left: ?"
    bar = ProgressBar(total=max(1, found.total), completed=found.done, width=40)
    top.add_row(Text(found.name, "bold"), bar, f"{found.done} of {found.total} done", left)
    rows = Table.grid(padding=(0, 2))
    for kind, style, lines in _kinds(found):
        for i, line in enumerate(lines[:MOST]):
            rows.add_row("", Text("" if i else kind, style), Text(line, no_wrap=True, overflow="ellipsis"))
        if len(lines) > MOST:
            rows.add_row("", "", f"and {len(lines) - MOST} more")
    return Group(top, Text(_counts(found)), rows)


def _counts(found: Standing) -> str:
    counts = {
        "running": len(found.running), "waiting": found.waiting, "complete": found.complete, "pruned": found.pruned,
        "failed": found.failed, "begun again": found.lost,
    }  # fmt: skip
    return "  " + " · ".join(f"{count} {what}" for what, count in counts.items() if count or what != "begun again")


def _kinds(found: Standing) -> list[tuple[str, str, list[str]]]:
    return [
        ("running", "cyan", found.running),
        ("best" if len(found.best) == 1 else "front", "green", [row_in_words(row) for row in found.best]),
        ("failed", "red", [f"{count} x {reason}" for reason, count in found.reasons.items()]),
    ]
