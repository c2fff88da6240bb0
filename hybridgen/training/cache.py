"""The data set encoded once: stage 2 trains on tokens, never on pictures."""

import torch

from hybridgen.data.base import Examples
from hybridgen.media.image import to_unit
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.batches import Source


@torch.no_grad()
def encode_all(tokenizer: Tokenizer, examples: Examples, flip: bool, device: torch.device, batch: int = 500) -> Source:
    """Columns latent (float32), codes0… (int16 where they fit), label; with `flip` every picture also mirrored."""
    columns: dict[str, list[torch.Tensor]] = {"latent": [], "label": []}
    for mirror in (False, True) if flip else (False,):
        for pixels, labels in zip(examples.x.split(batch), examples.labels.split(batch), strict=True):
            x = to_unit(pixels.to(device))
            tokens = tokenizer.encode(x.flip(-1) if mirror else x)
            columns["latent"].append(tokens.latent.cpu())
            columns["label"].append(labels)
            small = torch.int16 if tokenizer.spec.vocab < 2**15 else torch.int32
            for s, codes in enumerate(tokens.codes):
                columns.setdefault(f"codes{s}", []).append(codes.to(small).cpu())
    return Source({name: torch.cat(parts) for name, parts in columns.items()})
