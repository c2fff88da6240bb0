"""One progress line a stage: how far, how long still, and what the losses are."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class StageProgress:
    """A bar on a terminal; elsewhere a plain line every half minute.

    Args:
        title: what is going on, such as "stage 1  tokenizer hybrid".
        steps: in all.
        done: steps that an earlier run did.
        quiet: say nothing: another process does.
    """

    def __init__(self, title: str, steps: int, done: int = 0, quiet: bool = False) -> None:
        self.title, self.steps = title, steps
        self.console = Console(file=sys.stderr, highlight=False, quiet=quiet)
        self.began, self.first, self.spoke, self.note = time.monotonic(), done, time.monotonic(), ""
        columns = (TextColumn("{task.description}"), BarColumn(20), TaskProgressColumn(), TimeElapsedColumn(),
                   TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal, refresh_per_second=4)
        self.task = self.bar.add_task(title, total=steps, completed=done, note="")
        self.bar.start()

    def advance(self, done: int, note: str = "") -> None:
        """Says that `done` steps are done."""
        self.note = note or self.note
        if self.console.is_terminal:
            self.bar.update(self.task, completed=done, note=self.note)
        elif time.monotonic() - self.spoke > 30:
            self.spoke = time.monotonic()
            left = (self.spoke - self.began) / max(done - self.first, 1) * (self.steps - done)
            line = f"{self.title}  {100 * done / self.steps:.0f} %  {left:.0f} s left  {self.note}"
            self.console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Leaves the last state of the bar on the screen."""
        self.bar.stop()
