"""PNG files with their provenance in two text chunks: written, and read without decoding a pixel.

Source: PNG specification, third edition, section 11.3.3 (iTXt).
"""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hybridgen.media.provenance import KEY, LONGEST, pack, unpack, xmp
from hybridgen.system.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def png_bytes(image: Image.Image, about: Mapping[str, Any]) -> bytes:
    """A PNG of the image with `about`, and our version, inside.

    Raises:
        UserError: `about` is not JSON, or over 1 MiB.
    """
    chunks, out = PngInfo(), io.BytesIO()
    chunks.add_itxt(KEY, pack(about))
    chunks.add_itxt("XML:com.adobe.xmp", xmp())
    image.save(out, format="PNG", pnginfo=chunks)
    return out.getvalue()


def to_image(pixels: UInt8[np.ndarray, "X H W"]) -> Image.Image:
    """Channels first to Pillow: 1 channel is grey, 3 are RGB, 2 and 4 the same with alpha.

    Raises:
        UserError: there is no such mode.
    """
    if pixels.shape[0] not in MODES:
        raise UserError(f"an image has 1 to 4 channels, not {pixels.shape[0]}: these data cannot be saved as PNG")
    plane = rearrange(pixels, "X H W -> H W X")
    return Image.fromarray(np.ascontiguousarray(plane[..., 0] if pixels.shape[0] == 1 else plane))


def read_provenance(path: Path) -> dict[str, Any]:
    """What a PNG of ours says of its making. Text is read, pixels are never decoded: a bomb stays shut.

    Raises:
        UserError: not a PNG, damaged, or without a word from hybridgen.
    """
    try:
        with path.open("rb") as file:
            text = next((found for chunk in _itxt(file, path) if (found := _ours(chunk, path)) is not None), None)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    return unpack(text, path)


def _itxt(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The text chunks of a PNG, in order; everything else is stepped over."""
    if file.read(8) != SIGNATURE:
        raise UserError(f"{path}: not a PNG file")
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind != b"iTXt" or size > LONGEST + 100:
            file.seek(size + 4, 1)
            continue
        data, check = file.read(size), file.read(4)
        if check != struct.pack(">I", zlib.crc32(kind + data)):
            raise UserError(f"{path}: damaged: the checksum of a text chunk is wrong")
        yield data
    raise UserError(f"{path}: damaged: the file ends early")


def _ours(chunk: bytes, path: Path) -> str | None:
    """The text of an iTXt chunk whose keyword is ours; we never compress."""
    keyword, _, rest = chunk.partition(b"\0")
    if keyword != KEY.encode():
        return None
    text = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if rest[:1] != b"\0" or len(text) != 3:
        raise UserError(f"{path}: its provenance is not as hybridgen writes it")
    try:
        return text[2].decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: its provenance is not UTF-8") from error
