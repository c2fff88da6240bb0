"""Numbers, durations and sizes for people."""

import pytest

from hybridgen.system.text import duration, number, size


@pytest.mark.parametrize(
    ("seconds", "measured", "rough"),
    [
        (0.2, "0 s", "0 s"),
        (45, "45 s", "45 s"),
        (99.4, "1 min 39 s", "99 s"),
        (100, "1 min 40 s", "1.7 min"),
        (599, "9 min 59 s", "10 min"),
        (725, "12 min 5 s", "12 min"),
        (3599.7, "1 h 0 min", "60 min"),
        (5990, "1 h 39 min", "1.7 h"),
        (12000, "3 h 20 min", "3.3 h"),
        (360000, "100 h 0 min", "100.0 h"),
    ],
)
def test_durations(seconds, measured, rough):
    assert duration(seconds) == measured
    assert duration(seconds, rough=True) == rough


@pytest.mark.parametrize(
    ("value", "said"), [(0.0234567, "0.02346"), (25.512, "25.51"), (12345.6, "12,346"), (-20000, "-20,000")]
)
def test_numbers(value, said):
    assert number(value) == said


def test_sizes():
    assert [size(n) for n in (2**20, 5.25 * 2**20, 2**30, 3.2 * 2**30)] == [
        "1.0 MiB",
        "5.2 MiB",
        "1.00 GiB",
        "3.20 GiB",
    ]
