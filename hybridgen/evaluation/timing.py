"""Seconds that a call takes: the median of several repeats after a warm-up."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hybridgen.evaluation.base import Interval
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.protocol import Figure, figure

FIGURES = (FigureSpec("seconds_per_sample", "seconds per sample", format=".4f", better="low"),)


def seconds(call: Callable[[], object], *, repeats: int = 5, warm_up: int = 1) -> Interval:
    """Median wall seconds of `call`, with the fastest and the slowest as its interval; waits for the GPU to finish."""
    for _ in range(warm_up):
        call()
    taken = []
    for _ in range(repeats):
        _wait()
        start = time.perf_counter()
        call()
        _wait()
        taken.append(time.perf_counter() - start)
    return Interval(statistics.median(taken), min(taken), max(taken))


def seconds_per_sample(
    draw: Callable[[int], object], batch: int, protocol: Mapping[str, Any], *, repeats: int = 5, warm_up: int = 1
) -> Figure:
    """Seconds that `draw(batch)` takes per sample. `protocol` says: model, sampler, precision, device."""
    taken = seconds(lambda: draw(batch), repeats=repeats, warm_up=warm_up)
    said = {
        "kind": "timed", **protocol, "metric": "seconds per sample", "batch": batch,
        "warm_up": warm_up, "repeats": repeats, "threads": torch.get_num_threads(),
    }  # fmt: skip
    return figure(Interval(taken.value / batch, taken.low / batch, taken.high / batch), said, FIGURES[0])


def _wait() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
