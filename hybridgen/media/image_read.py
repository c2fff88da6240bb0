"""One picture file to pixels, whatever its encoding; a broken or hostile file is one clear error.

Orientation by EXIF, 16-bit grey scaled (Pillow would clip it), CMYK and palettes to RGB, transparency onto white.
Resizing is antialiased; a picture that is not square is cropped in its centre.
"""

import contextlib
import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from hybridgen.system.errors import UserError

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2", ".avif", ".pgm", ".ppm"]
)
MOST_PIXELS = 64_000_000  # larger than any camera's picture worth resizing to a training size; far below a bomb's
_NAMED = 10  # how many bad files one report names
_DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_picture(file: Path, channels: int) -> Image.Image:
    """A picture upright, 8 bits, mode L or RGB by `channels`.

    Raises:
        UserError: the file is no picture, is damaged, or has more than 64 million pixels.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    if not content:
        raise UserError(f"{file}: the file is empty")
    return upright(open_picture(io.BytesIO(content), str(file)), channels, str(file))


def open_picture(stream: io.BytesIO, place: str) -> Image.Image:
    """A decoded picture as stored; its size is checked before any pixel is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF, odd palettes: the pixels decide
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(stream)
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(f"{place}: refused: more than {MOST_PIXELS // 1_000_000} million pixels") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{place}: not a picture, or its header is damaged") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, ArithmeticError) as error:
        raise UserError(f"{place}: a damaged picture: {error}") from None
    if image.width == 0 or image.height == 0:
        raise UserError(f"{place}: a picture without pixels ({image.width}x{image.height})")
    return image


def upright(image: Image.Image, channels: int, place: str) -> Image.Image:
    """The picture turned by its EXIF tag, flattened onto white, mode L or RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):  # a damaged EXIF block can raise anything; the stored orientation stands
            image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise UserError(f"{place}: floating-point pixels are not supported; store 8 or 16 bits")
    if image.mode in _DEEP_GREY:
        image = _scaled_grey(image, place)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("RGBA")
        white = Image.new("RGBA", layers.size, "white")
        image = Image.alpha_composite(white, layers)
    if channels == 1 and image.mode == "L":
        return image
    colour = image.convert("RGB")
    return colour if channels == 3 else colour.convert("L")


def fitted(image: Image.Image, size: int) -> Image.Image:
    """The shorter side resized to `size` with antialiasing, then the centre cropped to a square."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def as_tensor(image: Image.Image) -> UInt8[Tensor, "X H W"]:
    """Pixels, channels first."""
    pixels = np.atleast_3d(np.array(image, dtype=np.uint8))
    return torch.from_numpy(np.ascontiguousarray(rearrange(pixels, "h w x -> x h w")))


def report(bad: Iterable[str], seen: int, folder: Path) -> UserError:
    """One error for all bad files of a folder: the first ten named, all counted."""
    messages = list(bad)
    more = f"\n  and {len(messages) - _NAMED} more" if len(messages) > _NAMED else ""
    lines = "\n  ".join(messages[:_NAMED])
    return UserError(
        f"{folder}: {len(messages)} of {seen} pictures cannot be used; mend or remove them:\n  {lines}{more}"
    )


def _scaled_grey(image: Image.Image, place: str) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise UserError(f"{place}: grey values outside 16 bits are not supported")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))
