"""Captions as a conditioner reads them: by itself, or as a frozen language model's vectors, each made once and kept."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hybridgen.conditioners.base import Conditioner
from hybridgen.conditioners.language_model import AT_ONCE, LanguageModel
from hybridgen.data.base import Data, Split
from hybridgen.system.errors import UserError
from hybridgen.training.batches import ReadTexts
from hybridgen.training.encoding import STORES, weights_hash
from hybridgen.training.token_store import Store, Stored

ASKED = 200  # captions of the test split that a model keeps, to be asked where nobody asks


class KnownTexts:
    """Vectors of texts that are known beforehand, on disk.

    Args:
        texts: all of them, none twice.
        store: their vectors, in this order.
    """

    def __init__(self, texts: Sequence[str], store: Store) -> None:
        self.rows, self.store = {text: row for row, text in enumerate(texts)}, store

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Vectors (B, P, F) and mask of some of them."""
        found = self.store.read(torch.tensor([self.rows[text] for text in texts]))
        return {"text": found["text"], "text_mask": found["text_mask"].bool()}


def read_texts(
    conditioner: Conditioner, data: Data, device: torch.device, root: Path, say: Callable[[str], None]
) -> ReadTexts | None:
    """How captions become what the conditioner reads; None for one that reads none.

    Raises:
        UserError: the language model is not named, cannot be loaded, or has vectors of another width.
    """
    if "text" not in conditioner.reads:
        return None
    if not conditioner.text_features:
        return conditioner.columns
    if not conditioner.encoder:
        raise UserError("model.conditioner.encoder: training needs the language model: a folder or a name on the hub")
    splits = [data.split("train"), data.split("valid")]
    texts = sorted({text for split in splits for each in captions(split) for text in each} | {""})
    encoder = LanguageModel.load(conditioner.encoder, conditioner.length, conditioner.system, conditioner.text_features)
    encoder.net.to(device)
    shape = (conditioner.length, conditioner.text_features)
    files = {"text": Stored(shape, torch.float32), "text_mask": Stored(shape[:1], torch.uint8)}
    about = {
        "encoder": weights_hash(encoder.net), "system": conditioner.system, "shape": list(shape),
        "texts": hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16],
    }  # fmt: skip
    name = hashlib.sha256(repr(about).encode()).hexdigest()[:16]
    chunks = torch.arange(len(texts)).split(8 * AT_ONCE)
    store = Store(root / STORES / name, len(texts), files, chunks)

    def make(rows: Tensor) -> dict[str, Tensor]:
        text, mask = encoder.encode([texts[row] for row in rows.tolist()])
        return {"text": text, "text_mask": mask.to(torch.uint8)}

    store.write(make, about, say)
    return KnownTexts(texts, store)


def captions(split: Split) -> Sequence[Sequence[str]]:
    """The captions of each sample; empty where the data have none."""
    column = split.columns.get("text", ())
    assert not isinstance(column, Tensor), "captions are texts"
    return column


def asked_of(data: Data) -> list[str]:
    """Captions of the test split, the first of each sample, at most so many as a model keeps; empty without any."""
    return [texts[0] for texts in captions(data.split("test"))[:ASKED] if texts]
