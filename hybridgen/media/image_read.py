"""The bytes of an image file to pixels, whatever their encoding; a broken or hostile file is one clear error.

Orientation by EXIF, 16-bit grey scaled (Pillow would clip it), CMYK and palettes to RGB, transparency onto white.
Resizing is antialiased; the centre is kept.
"""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from hybridgen.media.base import read_bytes
from hybridgen.system.errors import UserError
from hybridgen.types import Grid

MOST_PIXELS = 64_000_000  # larger than any camera's image worth resizing to a training size; far below a bomb's
LONGEST_RATIO = 4  # of what is left on both sides of the centre before an image is resized
_DEEP_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def open_image(stream: io.BytesIO, place: str) -> Image.Image:
    """A decoded image as stored; its size is checked before any pixel is decoded.

    Raises:
        UserError: the content is no image, is damaged, or has more than 64 million pixels.
    """
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
        raise UserError(f"{place}: not an image, or its header is damaged") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, ArithmeticError) as error:
        raise UserError(f"{place}: a damaged image: {error}") from None
    if image.width == 0 or image.height == 0:
        raise UserError(f"{place}: an image without pixels ({image.width}x{image.height})")
    return image


def upright(image: Image.Image, channels: int, place: str) -> Image.Image:
    """The image turned by its EXIF tag, flattened onto white, mode L or RGB."""
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


def fitted(image: Image.Image, grid: Grid) -> Image.Image:
    """The image resized with antialiasing until it covers `grid` (height, width), then its centre.

    What the crop would take away is cut off beforehand where there is much of it: an image of 1 x 60,000 pixels may not
    become one of 32 x 1,920,000.
    """
    image = _without_long_ends(image, grid)
    height, width = grid
    scale = max(width / image.width, height / image.height)
    resized = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    image = image.resize(resized, Image.Resampling.BICUBIC)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _without_long_ends(image: Image.Image, grid: Grid) -> Image.Image:
    """The centre of an image that is more than four times as long as `grid` asks for."""
    height, width = grid
    widest = max(1, LONGEST_RATIO * image.height * width // height)
    highest = max(1, LONGEST_RATIO * image.width * height // width)
    if image.width <= widest and image.height <= highest:
        return image
    kept = min(image.width, widest), min(image.height, highest)
    left, top = (image.width - kept[0]) // 2, (image.height - kept[1]) // 2
    return image.crop((left, top, left + kept[0], top + kept[1]))


def as_tensor(image: Image.Image) -> UInt8[Tensor, "X H W"]:
    """Pixels, channels first."""
    pixels = np.atleast_3d(np.array(image, dtype=np.uint8))
    return torch.from_numpy(np.ascontiguousarray(rearrange(pixels, "h w x -> x h w")))


def read_tiles(content: bytes, place: str, channels: int, tile: int, columns: int) -> UInt8[Tensor, "N X H W"]:
    """The square tiles of one image that holds many, row by row.

    Raises:
        UserError: the image is damaged, or is not made of such tiles.
    """
    image = upright(open_image(io.BytesIO(content), place), channels, place)
    if tile < 1 or image.width != columns * tile or image.height % tile:
        raise UserError(f"{place}: {image.width}x{image.height} pixels are not {columns} tiles of {tile} in a row")
    return rearrange(as_tensor(image), "x (r h) (c w) -> (r c) x h w", h=tile, w=tile).contiguous()


def read_reduced(file: Path, side: int, size: int) -> UInt8[Tensor, "3 size size"]:
    """A colour image of exactly `side` x `side` pixels, each `size` x `size` one the exact mean of a square block.

    Raises:
        UserError: the image is damaged, or has another size.
    """
    image = upright(open_image(io.BytesIO(read_bytes(file)), str(file)), 3, str(file))
    if image.size != (side, side):
        raise UserError(f"{file}: {image.width}x{image.height} pixels, not {side}x{side}")
    return as_tensor(image.reduce(side // size))


def _scaled_grey(image: Image.Image, place: str) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise UserError(f"{place}: grey values outside 16 bits are not supported")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))
