"""A training step under Lightning against a bare PyTorch loop over the same model: at most 1.15.

    python benchmarks/bench_training_step.py

Both take the same losses, optimiser, clipping, averaging and bf16 autocast, on the demo's generator; neither logs.
"""

import copy
import tempfile
import time
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from common import demo_model, ratio

from hybridgen.assemble import assemble_settings
from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws
from hybridgen.runs.run import Run
from hybridgen.training.batches import Batches, Stream
from hybridgen.training.callbacks import Stepwise
from hybridgen.training.ema import Ema
from hybridgen.training.generator_module import GeneratorModule
from hybridgen.training.machine import choose
from hybridgen.training.optimiser import clip, lr_share, make_optimiser
from hybridgen.training.settings import Training
from hybridgen.training.stage import Stage, fit
from hybridgen.training.tokens import tokens_of

STEPS = 12  # a round; the first ones are not counted
WARM = 4


class Clock(Stepwise):
    """When each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """One more."""
        self.ends.append(time.perf_counter())


def main() -> None:
    """Prints one ratio a batch size."""
    warnings.simplefilter("ignore")
    for batch in (16, 32):
        composed, model = demo_model(f"train.generator.steps={STEPS}", f"train.generator.batch={batch}")
        settings = assemble_settings(composed, "train.generator")
        source = random_tokens(model, 512)
        ratio(
            f"training step, batch {batch}",
            lambda s=settings, m=model, t=source: under_lightning(m, s, t),
            lambda s=settings, m=model, t=source: bare(m, s, t),
        )


class Cached:
    """Columns in memory."""

    def __init__(self, columns: dict[str, torch.Tensor]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns["label"])

    def take(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Some rows."""
        return {name: column[rows] for name, column in self.columns.items()}


def random_tokens(model: HybridModel, count: int) -> Cached:
    """Cached tokens of noise."""
    with torch.no_grad():
        tokens = model.tokenizer.encode(torch.rand(count, 1, 28, 28) * 2 - 1)
    codes = {f"codes{s}": c.to(torch.int16) for s, c in enumerate(tokens.codes)}
    return Cached({"latent": tokens.latent, "label": torch.arange(count) % 10, **codes})


def under_lightning(model: HybridModel, settings: Training, source: Cached) -> float:
    """Seconds a step through `training.stage.fit`."""
    clock = Clock()
    model = copy.deepcopy(model)
    model.tokenizer.requires_grad_(False)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), "bench", {}, {})
        stage = Stage("generator", "bench", run, settings, choose("cpu", "auto"), 0, lambda: ({}, ""))
        fit(stage, GeneratorModule(model, settings, 0), source, extra=[clock])
    return (clock.ends[-1] - clock.ends[WARM - 1]) / (STEPS - WARM)


def bare(model: HybridModel, settings: Training, source: Cached) -> float:
    """Seconds a step of a plain loop."""
    model = copy.deepcopy(model)
    model.tokenizer.requires_grad_(False)
    optimiser, ema, ends = make_optimiser(model, settings), Ema(model, settings.ema), []
    enabled = choose("cpu", "auto").precision == "bf16"
    for index, batch in zip(range(STEPS), Stream(Batches(source, settings.batch, 0)), strict=False):
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * lr_share(index, settings)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model.loss(tokens_of(batch, model.tokenizer), batch, Draws(0, "generator", index))["loss"]
        optimiser.zero_grad()
        loss.backward()
        clip(model.parameters(), settings.clip)
        optimiser.step()
        ema.update()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[WARM - 1]) / (STEPS - WARM)


if __name__ == "__main__":
    main()
