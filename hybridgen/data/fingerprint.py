"""A hash of samples: it names what was trained on them."""

import hashlib

from hybridgen.data.base import MemorySplit
from hybridgen.types import DataSpec

_DIGITS = 16


def fingerprint_of(spec: DataSpec, *splits: MemorySplit) -> str:
    """Hash of names, shapes, stored samples and labels; equal exactly when `split` gives the same."""
    # the words of the first version, so that tokenizers trained then are still found
    told = f"DataSpec(channels={spec.channels}, size={spec.size}, classes={spec.classes})"
    digest = hashlib.sha256(told.encode())
    for split in splits:
        digest.update(repr(tuple(split.x.shape)).encode())
        digest.update(split.x.contiguous().numpy().data)
        if split.labels is not None:
            digest.update(split.labels.contiguous().numpy().data)
    return digest.hexdigest()[:_DIGITS]


def file_hash(content: bytes) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(content).hexdigest()
