"""The same seeds in the course of sampling: the canvas after each scale, then with the residual."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Progression:
    """Samples in rows (one for each seed) and titled columns (one for each moment).

    Args:
        title: heading.
        cells: HTML elements that show the samples, row by row.
        columns: a title for each column.
        rows: a title for each row, such as its class; may be empty.
        caption: a sentence on what is seen.
    """

    title: str
    cells: Sequence[Sequence[str]]
    columns: Sequence[str]
    rows: Sequence[str] = ()
    caption: str = ""
