"""Reconstructions of a tokenizer: from its codes alone, and from the whole latent."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Tokens


@dataclass
class Rebuilt:
    """Reconstructions; `residual_share` is the part of the latents' variance that the codes leave (1: no codes)."""

    discrete: Float[Tensor, "B X *size"] | None
    full: Float[Tensor, "B X *size"]
    tokens: Tokens
    residual_share: float


@torch.no_grad()
def rebuild(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> Rebuilt:
    """x from its codes alone (None without codes) and from its latent."""
    tokens = tokenizer.encode(x)
    full = tokenizer.decode(tokens.latent)
    if not tokens.codes:
        return Rebuilt(None, full, tokens, 1.0)
    painted = replay(tokenizer, tokens, tuple(range(len(tokens.codes))), ()).canvas.latent
    variance = tokens.latent.transpose(0, 1).flatten(1).var(1, unbiased=False).mean()  # mean over channels
    share = (tokens.latent - painted).square().mean() / variance.clamp_min(1e-12)
    return Rebuilt(tokenizer.decode(painted), full, tokens, share.item())


def perplexity(codes: Int[Tensor, "*any"], vocab: int) -> float:
    """The effective number of codes in use: exp of the entropy of their frequencies."""
    share = torch.bincount(codes.flatten(), minlength=vocab).double() / codes.numel()
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum()).item()


def used_share(codes: Int[Tensor, "*any"], vocab: int) -> float:
    """The fraction of the codebook that occurs."""
    return codes.unique().numel() / vocab
