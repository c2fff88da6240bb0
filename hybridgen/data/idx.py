"""The idx format of the MNIST family, plain or gzipped, checked before it is believed.

torchvision reads only unpacked files; Debian's packages and upstream ship `.gz`.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hybridgen.system.errors import UserError

_BYTES = 0x08  # the type code of unsigned bytes: all that this family uses


def read_idx(file: Path, dims: int) -> UInt8[Tensor, "..."]:
    """The array of unsigned bytes in an idx file of `dims` dimensions; `file` may stand there as `file.gz` instead.

    Raises:
        UserError: the file is absent, damaged, of another type, or shorter or longer than its header says.
    """
    content, place = _content(file)
    expected = bytes((0, 0, _BYTES, dims))
    if content[:4] != expected:
        begin = content[:4].hex(" ") or "nothing"
        raise UserError(f"{place}: not an idx file of {dims} dimensions: wrong magic, it begins with {begin}")
    start = 4 + 4 * dims
    if len(content) < start:
        raise UserError(f"{place}: cut off inside the header")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    count = int(np.prod(shape, dtype=object))
    if len(content) - start != count:
        each = max(1, count // max(1, shape[0]))
        there = (len(content) - start) / each
        raise UserError(f"{place}: the header announces {shape[0]} items, {there:.4g} are there")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy())


def _content(file: Path) -> tuple[bytes, Path]:
    packed = file if file.suffix == ".gz" else file.with_name(file.name + ".gz")
    try:
        if file.suffix != ".gz" and file.exists():
            return file.read_bytes(), file
        return gzip.decompress(packed.read_bytes()), packed
    except FileNotFoundError:
        raise UserError(f"{file}: missing, and so is {packed.name}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{packed}: damaged gzip file: {error}") from None
