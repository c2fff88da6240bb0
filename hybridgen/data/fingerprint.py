"""A hash of examples: it names what was trained on them."""

import hashlib

from hybridgen.data.base import Examples
from hybridgen.types import DataSpec

_DIGITS = 16


def fingerprint_of(spec: DataSpec, *splits: Examples) -> str:
    """Hash of names, shapes, pixels and labels; equal exactly when `load` gives the same."""
    digest = hashlib.sha256(repr(spec).encode())
    for split in splits:
        digest.update(repr(tuple(split.x.shape)).encode())
        digest.update(split.x.contiguous().numpy().data)
        digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()[:_DIGITS]


def file_hash(content: bytes) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(content).hexdigest()
