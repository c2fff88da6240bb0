"""Weights of a golden, drawn again instead of stored: a case's weights come from its seed, in one stream.

A recipe names them in the order in which they were drawn, with shape, shift and gain: `shift + gain * normal`. The few
that became something else (gain null) stand beside it as they are.
"""

import json

import torch
from safetensors.torch import load_file


def grow(seed, drawn):
    """Tensors by official name, of a recipe's rows (name, shape, shift, gain)."""
    rng = torch.Generator().manual_seed(seed)
    draws = [(name, shift, gain, torch.randn(shape, generator=rng)) for name, shape, shift, gain in drawn]
    return {name: shift + gain * normal for name, shift, gain, normal in draws if gain is not None}


def read(folder):
    """A golden's description (`case.json`), its inputs and outputs, and its weights."""
    about = json.loads((folder / "case.json").read_text())
    stored = load_file(folder / "io.safetensors")
    plain = {k.removeprefix("weight."): v for k, v in stored.items() if k.startswith("weight.")}
    tensors = {k: v for k, v in stored.items() if not k.startswith("weight.")}
    return about, tensors, {**plain, **grow(about["config"]["seed"], about["drawn"])}
