"""Images side by side in one image."""

import re
from collections.abc import Sequence

import numpy as np
from einops import rearrange, repeat
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from hybridgen.media.png import to_image
from hybridgen.system.errors import UserError

SEEN = 96  # pixels a side below which an image is hard to judge on a screen
GAP = 2
LINE = 18  # height of a caption
_INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def image_grid(
    pixels: UInt8[np.ndarray, "N X H W"], columns: int | None = None, *,
    column_titles: Sequence[str] = (), row_titles: Sequence[str] = (),
) -> Image.Image:  # fmt: skip
    """A grid, row by row, on white; small images are enlarged by a whole factor, each pixel a square.

    Args:
        pixels: the images.
        columns: how many in a row; None makes the grid about square.
        column_titles: written above; at most one for each column.
        row_titles: written to the left; at most one for each row.
    """
    count, channels, height, width = pixels.shape
    if count == 0:
        raise UserError("a grid needs at least one image")
    columns = columns or max(len(column_titles), int(np.ceil(np.sqrt(count))))
    rows = -(-count // columns)
    factor = max(1, -(-SEEN // max(height, width)))
    enlarged = repeat(pixels, "N X H W -> N X (H a) (W b)", a=factor, b=factor)
    cell = np.full((rows * columns, channels, height * factor + GAP, width * factor + GAP), 255, np.uint8)
    cell[:count, :, : height * factor, : width * factor] = enlarged
    sheet = to_image(rearrange(cell, "(r c) X H W -> X (r H) (c W)", r=rows))
    return _captioned(sheet, column_titles, row_titles, cell.shape[-1], cell.shape[-2])


def _captioned(
    sheet: Image.Image, column_titles: Sequence[str], row_titles: Sequence[str], width: int, height: int
) -> Image.Image:
    if not column_titles and not row_titles:
        return sheet
    font = ImageFont.load_default(13)
    left = max((int(font.getlength(title)) + 10 for title in row_titles), default=0)
    titles = [_in_lines(title, font, width - GAP) for title in column_titles]
    top = LINE * max((len(lines) for lines in titles), default=0)
    mode = "RGB" if sheet.mode == "L" else sheet.mode
    page = Image.new(mode, (sheet.width + left, sheet.height + top), "white")
    page.paste(sheet, (left, top))
    draw = ImageDraw.Draw(page)
    for i, lines in enumerate(titles):
        for j, line in enumerate(reversed(lines)):
            middle = left + i * width + width // 2, top - LINE * j - LINE // 2
            draw.text(middle, line, fill="black", font=font, anchor="mm")
    for i, title in enumerate(row_titles):
        draw.text((left - 6, top + i * height + height // 2), title, fill="black", font=font, anchor="rm")
    return page


def _in_lines(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A title broken into lines of at most `width` pixels: between words, in longer ones before their capitals."""
    lines: list[str] = []
    words = (w if font.getlength(w) <= width else _INNER_CAPITAL.sub(" ", w) for w in title.split())
    for word in " ".join(words).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
