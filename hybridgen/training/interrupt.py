"""Ctrl-C between steps: the first asks for a clean stop, the second stops at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Wish:
    """Whether somebody wants this to stop."""

    def __init__(self) -> None:
        self.stop = False


@contextmanager
def watched() -> Iterator[Wish]:
    """Inside this block SIGINT and SIGTERM set `stop` once; a second one raises KeyboardInterrupt."""
    wish = Wish()

    def note(number: int, frame: FrameType | None) -> None:
        if wish.stop:
            raise KeyboardInterrupt
        wish.stop = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
