"""Every saved picture says in itself what made it.

Two text chunks: `hybridgen`, JSON from which the picture can be drawn again (version, model and config hash, seed,
class or prompt, sampler), and an XMP packet that declares it generated, for programs that know nothing of us.

Sources: PNG specification, third edition, section 11.3.3 (iTXt); IPTC Photo Metadata Standard, Digital Source Type.
"""

import hashlib
import json
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

from hybridgen.system.errors import UserError
from hybridgen.system.files import atomic_path
from hybridgen.system.version import __version__

KEY = "hybridgen"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST = 1 << 20  # bytes of provenance that we read
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="hybridgen {version}"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def save_picture(
    path: Path, pixels: UInt8[np.ndarray, "X H W"] | Image.Image, provenance: Mapping[str, Any]
) -> None:  # fmt: skip
    """Write a PNG, whole or not at all, with `provenance` (and our version) inside.

    Raises:
        UserError: when the pixels have no colour mode, or the provenance is not JSON or over 1 MiB.
    """
    try:
        text = json.dumps({"version": __version__, **provenance}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: the provenance is not plain JSON ({error})") from error
    if len(text.encode()) > LONGEST:
        raise UserError(f"{path}: the provenance is {len(text.encode())} bytes long; at most {LONGEST} are kept")
    chunks = PngInfo()
    chunks.add_itxt(KEY, text)
    chunks.add_itxt("XML:com.adobe.xmp", XMP.format(version=__version__))
    image = to_image(pixels) if isinstance(pixels, np.ndarray) else pixels
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=chunks)


def to_image(pixels: UInt8[np.ndarray, "X H W"]) -> Image.Image:
    """Channels first to Pillow: 1 channel is grey, 3 are RGB, 2 and 4 the same with alpha."""
    if pixels.shape[0] not in MODES:
        raise UserError(f"a picture has 1 to 4 channels, not {pixels.shape[0]}: these data cannot be saved as PNG")
    plane = rearrange(pixels, "X H W -> H W X")
    return Image.fromarray(np.ascontiguousarray(plane[..., 0] if pixels.shape[0] == 1 else plane))


def read_provenance(path: Path) -> dict[str, Any]:
    """What a picture of ours says of its making. Text is read, pixels are never decoded: a bomb stays shut.

    Raises:
        UserError: not a PNG, damaged, or without a word from hybridgen.
    """
    try:
        with path.open("rb") as file:
            text = next((found for chunk in _itxt(file, path) if (found := _ours(chunk, path)) is not None), None)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    if text is None:
        raise UserError(f"{path}: no provenance inside; hybridgen did not write it, or a program has stripped it")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its provenance is not valid JSON") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: its provenance is a {type(found).__name__}, not a mapping")
    return found


def model_hash(path: Path) -> str:
    """16 hex digits over the names, shapes and values in a safetensors file; its metadata do not count."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            header = _header(file, path)
            header.pop("__metadata__", None)
            digest.update(json.dumps(header, sort_keys=True).encode())
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()[:16]


def _header(file: BinaryIO, path: Path) -> dict[str, Any]:
    size = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(size)) if size <= 100 * LONGEST else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{path}: not a safetensors file, or a damaged one")
    return header


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
