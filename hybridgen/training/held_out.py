"""Looks at held-out data while training: cheap, the same noise every time, so that curves are smooth."""

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.rebuild import perplexity, rebuild
from hybridgen.training.batches import Source
from hybridgen.training.generator_module import cached_tokens


@torch.no_grad()
def generator_losses(model: HybridModel, source: Source, device: torch.device, batch: int = 256) -> dict[str, float]:
    """Mean losses over cached tokens, without dropped conditions: cross-entropy a scale, fixed-noise residual loss."""
    sums: dict[str, float] = {}
    for start in range(0, len(source), batch):
        part = {name: column[start : start + batch].to(device) for name, column in source.columns.items()}
        rng = Draws("held out", start)
        tokens, count = cached_tokens(part), len(part["label"])
        losses = model.loss_at(tokens, model.conditioner(part, None), model.order.training(count, rng), rng)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item() * count
    return {f"held_out/{name}": value / len(source) for name, value in sums.items()}


def psnr(x: Tensor, y: Tensor) -> float:
    """Decibels of the mean squared error over all entries, for values in [-1, 1]."""
    return (10 * torch.log10(4.0 / (x - y).square().mean().clamp_min(1e-12))).item()


@torch.no_grad()
def tokenizer_figures(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"], batch: int = 256) -> dict[str, float]:
    """PSNR of codes alone and of the latent, the residual's share, perplexity of each scale."""
    parts = [rebuild(tokenizer, part) for part in x.split(batch)]
    figures = {"held_out/psnr_latent": psnr(x, torch.cat([part.full for part in parts]))}
    coarse = [part.discrete for part in parts if part.discrete is not None]
    if coarse:
        figures["held_out/psnr_codes"] = psnr(x, torch.cat(coarse))
        figures["held_out/residual_share"] = sum(len(part.full) / len(x) * part.residual_share for part in parts)
        for s in range(len(tokenizer.spec.scales)):
            codes = torch.cat([part.tokens.codes[s] for part in parts])
            figures[f"held_out/perplexity_scale{s}"] = perplexity(codes, tokenizer.spec.vocab)
    return figures
