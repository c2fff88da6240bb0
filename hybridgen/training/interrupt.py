"""Ctrl-C between steps: the first asks for a clean stop, the second stops at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Wish:
    """Whether somebody wants this to stop."""

    def __init__(self) -> None:
        self.stop = False

    def listen(self) -> None:
        """Takes the signals; also back from whoever took them meanwhile, as Lightning does with SIGTERM."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            raise KeyboardInterrupt
        self.stop = True


@contextmanager
def watched() -> Iterator[Wish]:
    """Inside this block SIGINT and SIGTERM set `stop` once; a second one raises KeyboardInterrupt."""
    before, wish = {number: signal.getsignal(number) for number in SIGNALS}, Wish()
    wish.listen()
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
