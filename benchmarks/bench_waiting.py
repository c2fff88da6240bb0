"""How much of a training step is spent waiting for data: at most 5 % with one reader.

    python benchmarks/bench_waiting.py

`hart_folder` at 64 x 64 trains its tokenizer on JPEG files that are decoded as they are needed; the generator, whose
tokens are read from disk. Nothing is in memory, as if the folder were large.
"""

import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from images import generate

from hybridgen.assemble import assemble_data, assemble_model, assemble_settings
from hybridgen.config.compose import Composed, compose
from hybridgen.data import collection
from hybridgen.data.base import Data
from hybridgen.runs.run import Run
from hybridgen.training import stage
from hybridgen.training.batches import Stream
from hybridgen.training.encoding import Encoding
from hybridgen.training.generator_module import GeneratorModule
from hybridgen.training.machine import Machine, choose
from hybridgen.training.tokenizer_stage import make_module

FILES, STEPS, WARM = 1_000, 24, 8


class TimedStream(Stream):
    """Notes when each batch was asked for and when it came."""

    marks: ClassVar[list[tuple[float, float]]] = []  # of the last stage

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.marks.clear()
        batches = super().__iter__()
        while True:
            asked = time.perf_counter()
            batch = next(batches)
            self.marks.append((asked, time.perf_counter()))
            yield batch


def main() -> None:
    """Prints the share of both stages."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch, mock.patch.object(stage, "Stream", TimedStream):
        photos = generate(Path(scratch) / "photos", FILES)
        composed = compose(
            "hart_folder",
            [f"data.root={photos}", "data.medium.size=64", "model.tokenizer.scales=[1,2,4,8,16]",
             f"train.tokenizer.steps={STEPS}", f"train.generator.steps={STEPS}"],
        )  # fmt: skip
        with mock.patch.object(collection, "IN_MEMORY", 0):
            data, machine = assemble_data(composed), choose(composed.config["device"], composed.config["precision"])
            data.split("train")
        for name in ("tokenizer", "generator"):
            train(name, composed, data, machine, Path(scratch))
            waited = sum(came - asked for asked, came in TimedStream.marks[WARM:])
            whole = TimedStream.marks[-1][1] - TimedStream.marks[WARM][0]
            each = 1e3 * whole / (len(TimedStream.marks) - WARM)
            print(f"{name:12} step {each:7.1f} ms   waiting for data {waited / whole:6.2%} (bar 5 %)")


def train(name: str, composed: Composed, data: Data, machine: Machine, root: Path) -> None:
    """One stage, with one reader; nothing is drawn or judged."""
    settings, model = assemble_settings(composed, f"train.{name}"), assemble_model(composed, data.spec)
    run = Run.create(root, name, composed.config, {})
    if name == "tokenizer":
        module: Any = make_module(model.tokenizer, data.medium, settings, 0, data.spec)
        source: Any = data.split("train")
    else:
        model.tokenizer.eval().requires_grad_(False)
        module = GeneratorModule(model, settings, 0)
        source = Encoding(model.tokenizer, data, machine, root, "disk").rows("train", (), print)
    stage.fit(stage.Stage(name, name, run, settings, machine, 0, lambda: ({}, ""), workers=1), module, source)


if __name__ == "__main__":
    main()
