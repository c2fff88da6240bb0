"""What the benchmarks share: the demo's generator on random weights, and medians of interleaved rounds."""

import statistics
from collections.abc import Callable

import torch

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import Composed, compose
from hybridgen.model import HybridModel


def demo_model(*overrides: str) -> tuple[Composed, HybridModel]:
    """The demo's model, untrained."""
    composed = compose("demo", overrides)
    torch.manual_seed(0)
    return composed, assemble_model(composed, assemble_data(composed).spec)


def ratio(name: str, ours: Callable[[], float], bare: Callable[[], float], rounds: int = 9) -> float:
    """Median over interleaved rounds of seconds `ours()` / seconds `bare()`; prints it."""
    ours(), bare()
    pairs = [(ours(), bare()) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    middle = statistics.median(ratios)
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{name:44} {1e3 * a:8.2f} ms {1e3 * b:8.2f} ms   ratio {middle:.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    return middle
