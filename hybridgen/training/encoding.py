"""Which tokens stage 2 trains on, and where they are kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hybridgen.data.base import Data, SplitName
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.batches import Rows
from hybridgen.training.machine import Machine
from hybridgen.training.token_store import DiskTokens
from hybridgen.training.tokens import MemoryTokens, Views, where_kept

STORES = "tokens"  # the folder under runs/ that holds tokens by hash


@dataclass(frozen=True)
class Encoding:
    """A data set through a frozen tokenizer.

    Args:
        tokenizer: what encodes.
        data: what is encoded.
        machine: where.
        root: the runs folder.
        tokens: the option `tokens` of the experiment.
    """

    tokenizer: Tokenizer
    data: Data
    machine: Machine
    root: Path
    tokens: str

    def rows(self, split: SplitName, mirrors: tuple[int, ...], say: Callable[[str], None]) -> Rows:
        """A split's tokens; or its samples, where they are encoded batch by batch."""
        views = Views(self.data.split(split), self.data.medium, mirrors)
        kept = where_kept(self.tokens, self.tokenizer.spec, views)
        if kept == "none":
            return views
        if kept == "memory":
            return MemoryTokens(self.tokenizer, views, self.machine.device)
        about = {
            "tokenizer": weights_hash(self.tokenizer), "data": self.data.fingerprint(), "split": split,
            "mirrors": list(mirrors),
        }  # fmt: skip
        name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
        store = DiskTokens(self.root / STORES / name, views, self.tokenizer.spec)
        store.write(self.tokenizer, self.machine.device, about, say)
        return store


@torch.no_grad()
def weights_hash(module: nn.Module) -> str:
    """16 hex digits over all weights, names and shapes."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
