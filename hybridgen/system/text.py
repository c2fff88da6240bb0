"""Numbers, durations and sizes for people: one wording everywhere."""


def number(value: float) -> str:
    """Four significant digits, thousands apart: 0.02346, 25.51, 12,345."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def duration(seconds: float, rough: bool = False) -> str:
    """A measured duration: 45 s, 12 min 5 s, 3 h 20 min; a rough one has two digits: 45 s, 12 min, 3.3 h."""
    if rough and seconds >= 99.5:
        in_minutes = seconds / 60
        if in_minutes >= 99.5:
            return f"{seconds / 3600:.1f} h"
        return f"{in_minutes:.1f} min" if in_minutes < 9.95 else f"{in_minutes:.0f} min"
    minutes, rest = divmod(round(seconds), 60)
    if rough or not minutes:
        return f"{round(seconds)} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes: 784 B, 3.0 KiB, 12.5 MiB, 3.20 GiB."""
    for power, unit, digits in ((30, "GiB", 2), (20, "MiB", 1), (10, "KiB", 1)):
        if count >= 2**power:
            return f"{count / 2**power:.{digits}f} {unit}"
    return f"{count:.0f} B"
