"""How long a study would take, from a few steps and a few samples."""

import time
from pathlib import Path
from typing import Any, TypeVar

import torch

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.evaluation.whole import TIMED
from hybridgen.generate.trained import Trained
from hybridgen.sweeps.request.plan import Needed, Outlook
from hybridgen.training.machine import choose
from hybridgen.workflows.dry_run import dry_run

T = TypeVar("T")

PROBED = 6  # configs of a kind that are tried; the others are taken to cost as much on average
DRAWN = 20  # samples that are drawn
OVERHEAD = 4.0  # seconds of a trial beside drawing: reading, encoding, judging what was drawn


def estimate(outlook: Outlook, discrete: bool) -> float:
    """Seconds of computing that are still to be done."""
    total = _training(list(outlook.tokenizers.values()), "tokenizer")
    total += _training(list(outlook.generators.values()), "generator")
    taken = [(count, evaluation_seconds(c, discrete)) for count, c in _spread([*outlook.samples.values()])]
    seen = sum(count for count, _ in taken)
    return total + outlook.trials * sum(count * seconds for count, seconds in taken) / max(1, seen)


def evaluation_seconds(composed: Composed, discrete: bool) -> float:
    """Seconds that drawing and judging takes, by a model with random weights."""
    machine = choose(composed.config["device"], "fp32")
    data, settings = assemble_data(composed), assemble_settings(composed, "metrics")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = assemble_model(composed, data.spec).to(machine.device).eval()
    trained = Trained(model, assemble_sampler(composed), composed.config, data.spec, Path(), {})
    took = _seconds(trained)
    samples = settings.samples + 6 * TIMED + 5 * max(1, len(data.spec.classes))
    coarse = 0.0
    if discrete and model.code_head is not None and model.residual_head is not None:
        coarse = settings.samples * _seconds(trained, head_steps=0)
    return OVERHEAD + samples * took + coarse


def _seconds(trained: Trained, **settings: Any) -> float:
    """Seconds a sample, of the second of two batches."""
    took = 0.0
    for _ in range(2):
        began = time.perf_counter()
        trained.sample(count=DRAWN, batch=DRAWN, **settings)
        took = time.perf_counter() - began
    return took / DRAWN


def _training(needed: list[Needed], stage: str) -> float:
    """Seconds to train what is not there yet."""
    missing = [each for each in needed if each.found is None]
    taken = [dry_run(each.composed).seconds.get(stage, 0.0) for each in _spread(missing)]
    return len(missing) * sum(taken) / max(1, len(taken))


def _spread(items: list[T]) -> list[T]:
    """At most `PROBED` of them, from first to last."""
    if len(items) <= PROBED:
        return items
    return [items[round(i * (len(items) - 1) / (PROBED - 1))] for i in range(PROBED)]
