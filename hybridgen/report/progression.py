"""The painting strip: the same seeds, the canvas after each scale, then with the residual."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Strip:
    """Pictures in rows (one a seed) and titled columns (one a moment of the painting).

    Args:
        title: heading of the strip.
        pixels: the pictures.
        columns: a title a column.
        rows: a title a row, e.g. the class; may be empty.
        caption: a sentence on what is seen.
    """

    title: str
    pixels: UInt8[np.ndarray, "rows columns X H W"]
    columns: Sequence[str]
    rows: Sequence[str] = ()
    caption: str = ""
