"""AdamW, which parameters decay, and the learning rate of each step."""

from collections.abc import Iterable
from math import cos, pi

import torch
from torch import nn

from hybridgen.training.settings import Training

_NO_DECAY = ("table", "null", "start", "levels", "places", "vector")  # embeddings, though they are matrices


def make_optimiser(module: nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW over the parameters that ask for gradients; weight decay on matrices alone (timm's grouping)."""
    from timm.optim import param_groups_weight_decay  # late: importing timm takes seconds

    named = [name for name, p in module.named_parameters() if any(part in _NO_DECAY for part in name.split("."))]
    groups = param_groups_weight_decay(module, settings.weight_decay, no_weight_decay_list=named)
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


def lr_share(step: int, settings: Training) -> float:
    """Learning rate of a step as a share of `lr`: linear warm-up, cosine, and perhaps a second cosine."""
    progress, warmup = step / settings.steps, settings.warmup * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if progress < settings.restart_at or settings.restart_at == 1:
        return _cosine((progress - settings.warmup) / (settings.restart_at - settings.warmup), settings.final_lr)
    part = (progress - settings.restart_at) / (1 - settings.restart_at)
    return settings.restart_lr / settings.lr * _cosine(part, settings.final_lr)


def clip(parameters: Iterable[nn.Parameter], norm: float) -> None:
    """Scales the gradients down to a global norm; 0 leaves them."""
    if norm:
        torch.nn.utils.clip_grad_norm_(parameters, norm)


def _cosine(part: float, final: float) -> float:
    return final + (1 - final) * 0.5 * (1 + cos(pi * min(max(part, 0.0), 1.0)))
