"""Looks at held-out data while training: cheap, the same noise every time, so that curves are smooth."""

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import replay
from hybridgen.training.batches import Source
from hybridgen.training.generator_module import cached_tokens
from hybridgen.types import Tokens


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


@torch.no_grad()
def rebuild(
    tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]
) -> tuple[Float[Tensor, "B X *size"] | None, Float[Tensor, "B X *size"], Tokens, float]:
    """x from its codes alone (None without codes), x from its latent, the tokens, the residual's share of variance."""
    tokens = tokenizer.encode(x)
    full = tokenizer.decode(tokens.latent)
    if not tokens.codes:
        return None, full, tokens, 1.0
    painted = replay(tokenizer, tokens, tuple(range(len(tokens.codes))), ()).canvas.latent
    variance = tokens.latent.var(dim=0, unbiased=False).mean()  # of each entry over the examples
    share = (tokens.latent - painted).square().mean() / variance.clamp_min(1e-12)
    return tokenizer.decode(painted), full, tokens, share.item()


def psnr(x: Tensor, y: Tensor) -> float:
    """Decibels of the mean squared error over all entries, for values in [-1, 1]."""
    return (10 * torch.log10(4.0 / (x - y).square().mean().clamp_min(1e-12))).item()


def perplexity(codes: Tensor, vocab: int) -> float:
    """How many codes are in use: exp of the entropy of their frequencies."""
    share = torch.bincount(codes.flatten(), minlength=vocab).double() / codes.numel()
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum()).item()


@torch.no_grad()
def tokenizer_figures(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"], batch: int = 256) -> dict[str, float]:
    """PSNR of codes alone and of the latent, the residual's share, perplexity of each scale."""
    parts = [rebuild(tokenizer, part) for part in x.split(batch)]
    figures = {"held_out/psnr_latent": psnr(x, torch.cat([full for _, full, _, _ in parts]))}
    coarse = [discrete for discrete, *_ in parts if discrete is not None]
    if coarse:
        weights = [len(full) / len(x) for _, full, _, _ in parts]
        figures["held_out/psnr_codes"] = psnr(x, torch.cat(coarse))
        figures["held_out/residual_share"] = sum(w * share for w, (*_, share) in zip(weights, parts, strict=True))
        for s in range(len(tokenizer.spec.scales)):
            codes = torch.cat([tokens.codes[s] for _, _, tokens, _ in parts])
            figures[f"held_out/perplexity_scale{s}"] = perplexity(codes, tokenizer.spec.vocab)
    return figures
