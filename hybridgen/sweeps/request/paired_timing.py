"""How much longer one thing takes than another, told apart from the noise of a machine that also does other work.

Both are timed by turns, so that what slows the machine down for a while slows both. A round takes the quickest of a few
turns of each: other work makes things slower only, and not both alike. The ratio is the median over rounds, which go on
until the answer is sure enough, or took too long.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

Stopwatch = Callable[[], float]
"""Does the thing once; the seconds that it took."""

TURNS = 4  # a round
FEWEST = 12  # rounds
LONG = 240.0  # seconds after which the answer is taken as it is
LOOK = 90.0  # the same for a first look
SURE = 3.3  # deviations: an interval of 99.9 %, for it is looked at again and again


@dataclass(frozen=True)
class Pace:
    """Seconds of one thing in units of another's: the median over rounds, and its 99.9 % interval."""

    ratio: float
    low: float
    high: float


def pace(one: Stopwatch, other: Stopwatch, within: float | None, long: float = LONG) -> Pace:
    """Seconds of `one` in units of those of `other`.

    Rounds go on until the interval lies inside 1 +/- `within`, or outside of it on one side: then it is known whether
    the two agree, and which one is slower if they do not; or until they took `long`. Without `within` they always take
    `long`: an end that depends on the ratio would move it.
    """
    one(), other()  # warm up
    ratios, spent = list[float](), 0.0
    while True:
        turns = [_turn(one, other, i) for i in range(TURNS)]
        mine, theirs = zip(*turns, strict=True)
        ratios.append(min(mine) / min(theirs))
        spent += sum(mine) + sum(theirs)
        found = _median(ratios)
        if len(ratios) >= FEWEST and (spent >= long or (within is not None and _told(found, within))):
            return found


def _told(found: Pace, within: float) -> bool:
    """Inside, or outside on one side."""
    inside = 1 - within <= found.low and found.high <= 1 + within
    return inside or found.high < 1 - within or 1 + within < found.low


def _turn(one: Stopwatch, other: Stopwatch, number: int) -> tuple[float, float]:
    """Seconds of both; who goes first changes from turn to turn."""
    if number % 2:
        mine, theirs = one(), other()
    else:
        theirs, mine = other(), one()
    return mine, theirs


def _median(ratios: list[float]) -> Pace:
    """With the interval of the order statistics, of any distribution: ranks n / 2 -+ SURE sqrt(n) / 2."""
    ordered, n = sorted(ratios), len(ratios)
    low = max(0, math.floor(n / 2 - SURE * math.sqrt(n) / 2))
    return Pace(statistics.median(ordered), ordered[low], ordered[n - 1 - low])
