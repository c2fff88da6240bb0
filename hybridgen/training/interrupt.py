"""Ctrl-C between steps: the first asks for a clean stop, the second stops at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLUSTERS = (signal.SIGTERM, signal.SIGUSR2)  # what a cluster sends to end a job, and some time before that


class StopRequest:
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
def watched() -> Iterator[StopRequest]:
    """Inside this block SIGINT and SIGTERM set `stop` once; a second one raises KeyboardInterrupt."""
    before, request = {number: signal.getsignal(number) for number in SIGNALS}, StopRequest()
    request.listen()
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def as_ctrl_c() -> Iterator[None]:
    """Inside this block the signals that end a cluster's jobs act as Ctrl-C does, wherever the process then is."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say so
        yield
        return
    before = {number: signal.getsignal(number) for number in CLUSTERS}
    for number in CLUSTERS:
        signal.signal(number, _pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_on(number: int, frame: FrameType | None) -> None:
    """Acts as Ctrl-C, also where a shell has started this process in the background and Ctrl-C is ignored."""
    if not callable(signal.getsignal(signal.SIGINT)):
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
