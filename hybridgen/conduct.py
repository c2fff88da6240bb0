"""An experiment from its config to its report: train both stages, draw, judge, write everything down."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybridgen.assemble import assemble_data, assemble_sampler, assemble_settings
from hybridgen.checkpoint import Trained, read_about
from hybridgen.config import Composed
from hybridgen.data.base import Data
from hybridgen.evaluation.drawing import rounded
from hybridgen.evaluation.protocol import Figure, figure, sentence
from hybridgen.evaluation.whole import judge_model
from hybridgen.files import write_atomic
from hybridgen.model import Drawn, HybridModel
from hybridgen.provenance import model_hash, save_picture
from hybridgen.report.grid import picture_grid
from hybridgen.report.html import write_report
from hybridgen.report.strip import Strip
from hybridgen.runs import Run
from hybridgen.tracking import Mirror, start_mirror
from hybridgen.training.generator_stage import train_generator
from hybridgen.training.machine import choose
from hybridgen.training.tokenizer_stage import obtain_tokenizer

SHOWN = 5  # pictures of each class in a sample grid
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a finished run has to show."""

    run: Run
    figures: dict[str, Figure]
    grid: Path
    report: Path
    mirror: Mirror  # may still be sending


def conduct(composed: Composed, run: Run, say: Say) -> Outcome:
    """Trains (or goes on training) and judges; safe to kill at any moment and to call again on the same run."""
    began, root = time.monotonic(), run.path.parent.parent
    machine, data = choose(composed.config["device"], composed.config["precision"]), assemble_data(composed)
    with run.hold(), _ended(run):
        run.resume()
        mirror = start_mirror(run, assemble_settings(composed, "tracking"))
        tokenizer, tokenizer_run = obtain_tokenizer(composed, data, machine, root, say)
        run.link("tokenizer", tokenizer_run)
        model = train_generator(composed, tokenizer, data, machine, run, _sketcher(composed, data, run))
        trained = as_trained(composed, model, data, run)
        settings = assemble_settings(composed, "metrics")
        figures = judge_model(trained, data, settings, registry=composed.registry, advance=_told(say))
        figures["seconds_total"] = _total(time.monotonic() - began, figures)
        outcome = show(trained, figures, data, run)
    return Outcome(run, figures, *outcome, mirror)


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
    like = dict(figures["seconds_per_picture"].protocol)
    return figure(seconds, {**like, "metric": "seconds from data to figures", "warm_up": 0, "repeats": 1})


def as_trained(composed: Composed, model: HybridModel, data: Data, run: Run) -> Trained:
    """The trained model with what it needs to be asked for pictures."""
    about = read_about(run.model)
    homes = tuple(composed.registry.homes)
    return Trained(model.eval(), assemble_sampler(composed), composed.config, data.spec, run.model, about, homes)


def show(trained: Trained, figures: dict[str, Figure], data: Data, run: Run) -> tuple[Path, Path]:
    """Writes samples.png, summary.json (also beside the runs of the experiment) and report.html."""
    grid, plain = run.path / "samples.png", run.path / "samples_codes_only.png"
    save_grid(trained, grid, trained.about)
    pictures = {"Samples": grid}
    if trained.model.residual_head is not None and trained.model.code_head is not None:
        save_grid(trained, plain, trained.about, head_steps=0)
        pictures["The same seeds, codes alone"] = plain
    text = json.dumps({name: figure.to_json() for name, figure in figures.items()}, indent=1) + "\n"
    write_atomic(run.summary, text)
    write_atomic(run.path.parent / "summary.json", text)
    shown = {name: _with_sentence(shown) for name, shown in figures.items()}
    return grid, write_report(run, shown, pictures, [painting_strip(trained)])


def _with_sentence(shown: Figure) -> dict[str, Any]:
    stored = shown.to_json()
    return {**stored, "protocol": {**stored["protocol"], "sentence": sentence(shown.protocol)}}


def save_grid(trained: Trained, path: Path, about: dict[str, Any], seed: int = 0, **settings: Any) -> None:
    """A picture of `SHOWN` samples of each class, a column a class, with their making inside."""
    classes = trained.data.classes or ("",)
    labels = [c for _ in range(SHOWN) for c in range(len(classes))]
    x = trained.sample(labels, seed=seed, **settings)
    pixels = rounded(x).numpy()
    titles = classes if trained.data.classes else ()
    provenance = {
        "model": model_hash(trained.path) if trained.path.exists() else None,
        "experiment": trained.path.parent.parent.name,
        "seeds": [seed, seed + len(labels) - 1],
        "labels": labels,
        "sampler": {**trained.config["sampler"], **settings},
    }
    save_picture(path, picture_grid(pixels, len(classes), column_titles=titles), provenance)


def painting_strip(trained: Trained, count: int = 6, seed: int = 0) -> Strip:
    """The same seeds, the canvas after each turn of the codes, then with the residual."""
    labels = [i % max(1, len(trained.data.classes)) for i in range(count)]
    sampler, record = trained.sampler, list[Drawn]()
    condition = trained.model.conditioner({"label": torch.tensor(labels)}, None)
    seeds = list(range(seed, seed + count))
    with torch.no_grad():
        full = trained.model.sample(condition, seeds, sampler)
        if trained.model.code_head is not None:
            trained.model.sample(condition, seeds, trained.sampler_with(head_steps=0), record=record)
        frames = [trained.model.tokenizer.decode(drawn.canvas.latent) for drawn in record]
        titles = [f"{'x'.join(map(str, trained.model.tokenizer.spec.scales[d.step.scale]))} codes" for d in record]
    if trained.model.residual_head is not None:
        frames, titles = [*frames, full], [*titles, "with the residual"]
    pixels = rounded(torch.stack(frames, 1)).numpy()
    names = [trained.data.classes[i] for i in labels] if trained.data.classes else []
    caption = "Each row is one seed: the canvas after each turn, coarse strokes first, the residual last."
    return Strip("How a picture is painted", np.ascontiguousarray(pixels), titles, names, caption)


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
        save_grid(trained, run.samples / f"step_{step:07d}.png", {"step": step})

    return sketch
