"""Looks at held-out data while training: cheap, the same noise every time, so that curves are smooth."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.data.base import Column
from hybridgen.evaluation.psnr import psnr
from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.rebuild import perplexity, rebuild
from hybridgen.training.batches import ReadTexts, Rows
from hybridgen.training.tokens import tokens_of

EXACT = 120.0  # dB that stand for equality, so that curves stay finite
LOOKED_AT = 4096  # rows of the held-out data: more would make a look no surer, only longer


@torch.no_grad()
def generator_losses(
    model: HybridModel, source: Rows, device: torch.device, batch: int = 256, texts: ReadTexts | None = None
) -> dict[str, float]:
    """Mean losses, without dropped conditions: cross-entropy by scale, and the residual's loss of the same noise."""
    sums: dict[str, float] = {}
    looked_at = torch.arange(min(len(source), LOOKED_AT))
    for start, rows in enumerate(looked_at.split(batch)):
        part = on_device(source.take(rows), device, texts)
        rng = Draws("held out", start * batch)
        losses = model.loss_at(
            tokens_of(part, model.tokenizer), model.conditioner(part, None), model.order.training(len(rows), rng), rng
        )
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item() * len(rows)
    return {f"held_out/{name}": value / len(looked_at) for name, value in sums.items()}


def on_device(columns: Mapping[str, Column], device: torch.device, texts: ReadTexts | None) -> dict[str, Any]:
    """Columns as a batch there; of several captions the first is read."""
    captions = [each[0] if each else "" for each in columns.get("text", ())]
    read = {} if texts is None else texts(captions)
    known = {name: column for name, column in columns.items() if isinstance(column, Tensor)}
    return {name: column.to(device) for name, column in (known | read).items()}


@torch.no_grad()
def tokenizer_figures(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"], batch: int = 128) -> dict[str, float]:
    """PSNR of codes alone and of the latent, the residual's share, perplexity of each scale."""

    def decibels(given: Tensor) -> float:
        return min(psnr(x, given, span=2.0), EXACT)

    parts = [rebuild(tokenizer, part) for part in x.split(batch)]
    figures = {"held_out/psnr_latent": decibels(torch.cat([part.full for part in parts]))}
    coarse = [part.discrete for part in parts if part.discrete is not None]
    if coarse:
        figures["held_out/psnr_codes"] = decibels(torch.cat(coarse))
        figures["held_out/residual_share"] = sum(len(part.full) / len(x) * part.residual_share for part in parts)
        for s in range(len(tokenizer.spec.scales)):
            codes = torch.cat([part.tokens.codes[s] for part in parts])
            figures[f"held_out/perplexity_scale{s}"] = perplexity(codes, tokenizer.spec.vocab)
    return figures
