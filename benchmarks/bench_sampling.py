"""Sampling through `HybridModel.sample` against a bare loop over the same parts: at most 1.1.

    python benchmarks/bench_sampling.py

The bare loop draws its noise in whole batches from the global generator and knows nothing of orders, settings or
masks; parts and their calls are the same.
"""

import time

import torch
from common import demo_model, ratio

from hybridgen.assemble import assemble_sampler
from hybridgen.model import HybridModel
from hybridgen.nn.positions import every_position
from hybridgen.samplers.sampler import Sampler
from hybridgen.types import Step


def main() -> None:
    """Prints one ratio a batch size."""
    composed, model = demo_model()
    model.eval()
    sampler = assemble_sampler(composed)
    for batch in (16, 64, 250):
        ratio(
            f"sampling, batch {batch}",
            lambda b=batch: timed(lambda: ours(model, sampler, b)),
            lambda b=batch: timed(lambda: bare(model, sampler, b)),
        )


def timed(call: object) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@torch.no_grad()
def ours(model: HybridModel, sampler: Sampler, batch: int) -> torch.Tensor:
    """What users call."""
    condition = model.conditioner({"label": torch.arange(batch) % 10}, None)
    return model.sample(condition, range(batch), sampler)


@torch.no_grad()
def bare(model: HybridModel, sampler: Sampler, batch: int) -> torch.Tensor:
    """The same parts by hand."""
    condition = model.conditioner({"label": torch.arange(batch) % 10}, None).guided()
    tokenizer, head = model.tokenizer, model.residual_head
    canvas, state = tokenizer.blank(batch), model.backbone.begin(condition)
    last = len(tokenizer.spec.scales) - 1
    for s, grid in enumerate(tokenizer.spec.scales):
        step = Step(s, every_position(batch, grid), grid)
        hidden = model.backbone.advance(state, canvas, tokenizer.view(canvas, s), step)
        logits, null = model.code_head.logits(hidden, condition).chunk(2)
        logits = null + sampler.guidance * (logits - null)
        codes = model.code_head.draw(logits, torch.rand(*logits.shape[:2], 1))
        vectors = tokenizer.lookup(codes, s)
        if s == last:
            painted = tokenizer.paint(canvas, step, codes, vectors).latent
            joined = model.join(hidden, model.backbone.embed(vectors), painted, step)
            noise = torch.randn(batch, *head.noise_shape(joined.shape[1], sampler.solver, sampler.head_steps))
            args = sampler.solver, sampler.head_steps, sampler.head_guidance
            vectors = vectors + head.draw(joined, grid, noise, *args)
        canvas = tokenizer.paint(canvas, step, codes, vectors)
    return tokenizer.decode(canvas.latent)


if __name__ == "__main__":
    main()
