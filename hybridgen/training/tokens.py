"""The data set encoded once: stage 2 trains on tokens. Kept in memory, on disk, or encoded batch by batch.

Row r of M copies of N samples is sample r mod N, mirrored along the axes that r // N names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hybridgen.data.base import Column, Split, columns_at
from hybridgen.media.base import Medium
from hybridgen.tokenizers.base import AT_ONCE, Tokenizer
from hybridgen.types import Tokens, TokenSpec

CHUNK = 500  # rows that are encoded, and stored, as one piece of work
IN_MEMORY = 512 << 20  # bytes of tokens up to which `auto` keeps them in memory


@dataclass(frozen=True)
class Views:
    """Samples and their mirror images, as rows.

    Args:
        split: the samples.
        medium: restores them.
        mirrors: axes along which they are mirrored too; empty: each sample is one row.
    """

    split: Split
    medium: Medium
    mirrors: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.split) * 2 ** len(self.mirrors)

    def chunks(self) -> list[Int[Tensor, " m"]]:
        """All rows in order, so many together as are encoded at once; none has rows of two copies."""
        one = torch.arange(len(self.split))
        copies = range(2 ** len(self.mirrors))
        return [rows for copy in copies for rows in (one + copy * len(self.split)).split(CHUNK)]

    def x(self, rows: Int[Tensor, " n"]) -> Float[Tensor, "n X *size"]:
        """Samples in [-1, 1], each mirrored as its row says."""
        x, copies = self.medium.restore(self.split.stored(rows % len(self.split))), rows // len(self.split)
        for bit, axis in enumerate(self.mirrors):
            flip = (copies >> bit) & 1 > 0
            x = torch.where(flip.view(-1, *[1] * (x.dim() - 1)), x.flip(axis), x)
        return x

    def columns(self, rows: Int[Tensor, " n"]) -> dict[str, Column]:
        """What is known of the samples."""
        return columns_at(self.split.columns, rows % len(self.split))

    def take(self, rows: Int[Tensor, " n"]) -> Mapping[str, Column]:
        """Samples with their columns, for those who encode as they train."""
        return {"x": self.x(rows), **self.columns(rows)}


class MemoryTokens:
    """Tokens of all views, in memory.

    Args:
        tokenizer: encodes.
        views: what it encodes.
        device: where.
    """

    def __init__(self, tokenizer: Tokenizer, views: Views, device: torch.device) -> None:
        self.views = views
        parts = [encode(tokenizer, views.x(rows), device) for rows in views.chunks()]
        self.tokens = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def __len__(self) -> int:
        return len(self.views)

    def take(self, rows: Int[Tensor, " n"]) -> Mapping[str, Column]:
        """Latents and codes with the columns of the samples."""
        return {**{name: column[rows] for name, column in self.tokens.items()}, **self.views.columns(rows)}


@torch.no_grad()
def encode(tokenizer: Tokenizer, x: Float[Tensor, "n X *size"], device: torch.device) -> dict[str, Tensor]:
    """Columns of samples: latent (float32), codes0, codes1 ... (int16 where they fit); on the CPU."""
    parts = []
    with torch.autocast(device.type, enabled=False):
        for some in x.split(AT_ONCE):
            tokens = tokenizer.encode(some.to(device))
            codes = {f"codes{s}": c.to(code_type(tokenizer.spec)).cpu() for s, c in enumerate(tokens.codes)}
            parts.append({"latent": tokens.latent.float().cpu(), **codes})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def code_type(spec: TokenSpec) -> torch.dtype:
    """The smallest integers that hold the codes."""
    return torch.int16 if spec.vocab < 2**15 else torch.int32


def token_bytes(spec: TokenSpec) -> int:
    """Bytes of one row."""
    codes = sum(map(prod, spec.scales)) * code_type(spec).itemsize if spec.vocab else 0
    return spec.channels * prod(spec.grid) * 4 + codes


def where_kept(asked: str, spec: TokenSpec, views: Views) -> Literal["memory", "disk", "none"]:
    """What `auto` means here."""
    if asked == "auto":
        return "memory" if token_bytes(spec) * len(views) <= IN_MEMORY else "disk"
    assert asked in ("memory", "disk", "none"), "the option's type has been checked"
    return asked  # type: ignore[return-value]


def tokens_of(batch: Mapping[str, Any], tokenizer: Tokenizer) -> Tokens:
    """The tokens of a batch: as they were kept, or encoded now where it has samples instead."""
    if "latent" not in batch:
        with torch.no_grad(), torch.autocast(batch["x"].device.type, enabled=False):
            return tokenizer.encode(batch["x"])
    count = sum(name.startswith("codes") for name in batch)
    return Tokens(batch["latent"], [batch[f"codes{s}"].long() for s in range(count)])
