"""One trial, whoever asks for it: what is missing is trained, then it is judged and written down."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from hybridgen.assemble import assemble_data, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.evaluation.protocol import Figure
from hybridgen.evaluation.whole import evaluate_model
from hybridgen.report.showing import sample_sheet
from hybridgen.runs.journal import read
from hybridgen.runs.run import Run
from hybridgen.sweeps.trial.generators import obtain_generator
from hybridgen.system.files import write_atomic
from hybridgen.training.callbacks import Stepwise
from hybridgen.training.machine import choose
from hybridgen.training.tokenizer_stage import obtain_tokenizer
from hybridgen.workflows.run_experiment import as_trained

Report = Callable[[int, float], None]  # step, value; may raise to stop the trial
Say = Callable[[str], None]


def run_trial(
    composed: Composed, run: Run, root: Path, say: Say, watch: tuple[str, Report] | None = None, discrete: bool = True
) -> dict[str, Figure]:
    """Figures of the experiment as composed; the run gets summary.json and a sheet of samples.

    Args:
        composed: what the trial is.
        run: the trial's folder.
        root: the runs folder, whose tokenizers and generators are reused.
        say: takes a word on the way.
        watch: a held-out value of stage 2, and who is told about it.
        discrete: also judge the codes without the residual.
    """
    machine, data = choose(composed.config["device"], composed.config["precision"]), assemble_data(composed)
    tokenizer, tokenizer_run = obtain_tokenizer(composed, data, machine, root, say)
    extra = [Watch(*watch)] if watch is not None else []
    model, generator = obtain_generator(composed, tokenizer, tokenizer_run, data, machine, root, say, extra)
    for callback in extra:
        callback.tell(generator.metrics_file)  # of a generator that was found, or of a last step
    run.note(tokenizer=tokenizer_run.name, generator=os.path.relpath(generator.path, run.root))
    trained = as_trained(composed, model, data, generator)
    settings = assemble_settings(composed, "metrics")
    figures = evaluate_model(trained, data, settings, registry=composed.registry, discrete=discrete)
    text = json.dumps({name: figure.to_json() for name, figure in figures.items()}, indent=1) + "\n"
    write_atomic(run.summary, text)  # first: whatever becomes of the samples, the figures stay
    sample_sheet(trained).save(run.path / "samples")
    return figures


class Watch(Stepwise):
    """Passes on a held-out value of the generator as its journal shows it.

    Args:
        name: of the value, such as held_out/loss.
        report: is told each step's value once.
    """

    def __init__(self, name: str, report: Report) -> None:
        super().__init__()
        self.name, self.report, self.told = name, report, -1

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Looks for a new value."""
        self.tell(Path(trainer.default_root_dir) / "metrics.jsonl")

    def tell(self, file: Path) -> None:
        """Passes on what has not been told yet."""
        for step, value in _values(read(file), self.name):
            if step > self.told:
                self.told = step
                self.report(step, value)


def _values(lines: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    found = (line for line in lines if line["stage"] == "generator" and name in line["values"])
    return sorted((line["step"], line["values"][name]) for line in found)
