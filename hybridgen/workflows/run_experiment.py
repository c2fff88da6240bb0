"""An experiment from its config to its report: train both stages, draw, judge, write everything down."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybridgen.assemble import assemble_data, assemble_sampler, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.config.identity import folder_name, tokenizer_key
from hybridgen.data.base import Data
from hybridgen.evaluation.evaluate import check_metrics
from hybridgen.evaluation.figure_spec import FigureSpec
from hybridgen.evaluation.protocol import Figure, figure, sentence
from hybridgen.evaluation.whole import evaluate_model
from hybridgen.generate.trained import NotFiniteError, Trained
from hybridgen.model import HybridModel
from hybridgen.report.html import write_report
from hybridgen.report.showing import progression, sample_sheet
from hybridgen.runs.run import Run
from hybridgen.runs.weights import read_about
from hybridgen.system import distributed
from hybridgen.system.errors import warn
from hybridgen.system.files import write_atomic
from hybridgen.tracking.process import Mirror, start_mirror
from hybridgen.training.generator_stage import train_generator
from hybridgen.training.linked_tokenizer import linked_tokenizer
from hybridgen.training.machine import choose
from hybridgen.training.tokenizer_stage import obtain_tokenizer

Say = Callable[[str], None]
TOTAL = FigureSpec("seconds_total", "seconds in all", format=".0f", better="low")


@dataclass
class Outcome:
    """What a finished run has to show."""

    run: Run
    figures: dict[str, Figure]
    grid: Path
    report: Path
    mirror: Mirror  # may still be sending


def run_experiment(composed: Composed, run: Run, say: Say) -> Outcome:
    """Trains (or goes on training) and judges; safe to kill at any moment and to call again on the same run.

    All processes of a run call it, connected; the first one alone writes, and the others have no figures to show.
    """
    began, root = time.monotonic(), run.root
    compute = assemble_settings(composed, "compute")
    machine, data = choose(composed.config["device"], composed.config["precision"], compute), assemble_data(composed)
    key = tokenizer_key(composed.config, data.fingerprint(), machine.precision)
    begun = linked_tokenizer(run, key, folder_name(key))
    _check_shown(data)
    with run.hold(), _ended(run):
        run.resume()
        mirror = start_mirror(run, assemble_settings(composed, "tracking")) if run.writes else Mirror(run, "", 0)
        tokenizer, tokenizer_run = obtain_tokenizer(composed, data, machine, root, say, begun)
        run.link("tokenizer", tokenizer_run)
        model = train_generator(composed, tokenizer, data, machine, run, _sketcher(composed, data, run), say=say)
        trained = as_trained(composed, model, data, run)
        settings = assemble_settings(composed, "metrics")
        run.note(left_out=check_metrics(data, settings, composed.registry))
        figures = evaluate_model(trained, data, settings, registry=composed.registry, advance=_told(say))
        if not run.writes:
            return Outcome(run, {}, run.samples, run.report, mirror)
        figures[TOTAL.name] = _total(time.monotonic() - began, figures)
        outcome = show(trained, figures, data, run)
    return Outcome(run, figures, *outcome, mirror)


def _check_shown(data: Data) -> None:
    """What cannot be written or shown is said before training."""
    blank = torch.zeros(1, data.spec.channels, *data.spec.size, dtype=data.medium.dtype)
    data.medium.sheet(blank, {})


@contextmanager
def _ended(run: Run) -> Iterator[None]:
    """Notes how the run ended; only who holds it may say so."""
    try:
        yield
    except KeyboardInterrupt:
        run.finish("interrupted")
        raise
    except Exception:
        run.finish("failed")
        raise
    run.finish()


def _total(seconds: float, figures: dict[str, Figure]) -> Figure:
    """Wall time of this command from its first step to its last figure, installing and importing not counted."""
    like = dict(figures["seconds_per_sample"].protocol)
    if distributed.world() > 1:
        like["processes"] = distributed.world()
    return figure(seconds, {**like, "metric": "seconds from data to figures", "warm_up": 0, "repeats": 1}, TOTAL)


def as_trained(composed: Composed, model: HybridModel, data: Data, run: Run) -> Trained:
    """The trained model with what it needs to be asked for samples."""
    about = read_about(run.model)
    homes = tuple(composed.registry.homes)
    return Trained(model.eval(), assemble_sampler(composed), composed.config, data.spec, run.model, about, homes)


def show(trained: Trained, figures: dict[str, Figure], data: Data, run: Run) -> tuple[Path, Path]:
    """Writes summary.json (also beside the runs of the experiment), sheets of samples and report.html.

    Figures come first: they took long, and nothing that fails after them may lose them.
    """
    text = json.dumps({name: figure.to_json() for name, figure in figures.items()}, indent=1) + "\n"
    write_atomic(run.summary, text)
    write_atomic(run.path.parent / "summary.json", text)
    sheets = {"Samples": sample_sheet(trained)}
    grid = sheets["Samples"].save(run.path / "samples")
    if trained.model.residual_head is not None and trained.model.code_head is not None:
        sheets["The same seeds, codes alone"] = sample_sheet(trained, head_steps=0)
        sheets["The same seeds, codes alone"].save(run.path / "samples_codes_only")
    shown = {name: _with_sentence(shown) for name, shown in figures.items()}
    return grid, write_report(run, shown, sheets, [progression(trained)], run.info.get("left_out", ()))


def _with_sentence(shown: Figure) -> dict[str, Any]:
    stored = shown.to_json()
    return {**stored, "protocol": {**stored["protocol"], "sentence": sentence(shown.protocol)}}


def _told(say: Say) -> Callable[[str, int, int], None]:
    """Says how drawing goes, at most every ten seconds."""
    last = time.monotonic()

    def told(what: str, done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"drawing {what}: {done} of {of}")

    return told


def _sketcher(composed: Composed, data: Data, run: Run) -> Callable[[HybridModel, int], None]:
    """Draws a sample grid of a model in training."""

    def sketch(model: HybridModel, step: int) -> None:
        homes = tuple(composed.registry.homes)
        trained = Trained(model, assemble_sampler(composed), composed.config, data.spec, run.model, {}, homes)
        try:
            sample_sheet(trained).save(run.samples / f"step_{step:07d}")
        except NotFiniteError as error:  # whether training diverges, its losses say
            warn(f"no sample grid at step {step}: {str(error).splitlines()[0]}")

    return sketch
