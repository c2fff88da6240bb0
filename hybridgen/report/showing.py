"""What a trained model has to show: a sheet of samples, and how a sample comes about."""

from typing import Any

import torch

from hybridgen.generate.trained import Trained
from hybridgen.generate.write import requested
from hybridgen.media.base import Sheet
from hybridgen.model import StepRecord
from hybridgen.report.progression import Progression
from hybridgen.runs.weights import model_hash

SHOWN = 5  # samples of each class on a sheet
MOST_CLASSES = 20  # classes on a sheet


def sample_sheet(trained: Trained, seed: int = 0, **settings: Any) -> Sheet:
    """`SHOWN` samples of each class, a column for each, with their making inside."""
    asked = trained.asked(count=1)
    by_class = isinstance(asked[0], int) and bool(trained.data.classes)
    columns = len(trained.data.classes[:MOST_CLASSES]) if by_class else SHOWN
    labels = list(range(columns)) * SHOWN if by_class else trained.asked(count=SHOWN**2)
    stored = trained.medium.store(trained.sample(**requested(labels), seed=seed, **settings))
    about = {
        "model": model_hash(trained.path) if trained.path.exists() else None,
        "experiment": trained.path.parent.parent.name,
        "seeds": [seed, seed + len(labels) - 1],
        ("labels" if isinstance(labels[0], int) else "prompts"): labels,
        "sampler": {**trained.config["sampler"], **settings},
    }
    titles = trained.data.classes[:columns] if by_class else ()
    return trained.medium.sheet(stored, about, columns=columns, column_titles=titles)


def progression(trained: Trained, count: int = 6, seed: int = 0) -> Progression:
    """The same seeds, the canvas after each step of the codes, then with the residual."""
    asked = trained.asked(count=count)
    sampler, record, medium = trained.sampler, list[StepRecord](), trained.medium
    condition = trained.condition(asked)
    seeds = list(range(seed, seed + count))
    with torch.no_grad():
        full = trained.model.sample(condition, seeds, sampler)
        if trained.model.code_head is not None:
            trained.model.sample(condition, seeds, trained.sampler_with(head_steps=0), record=record)
        frames = [trained.model.tokenizer.decode(drawn.canvas.latent) for drawn in record]
        titles = [f"{'x'.join(map(str, trained.model.tokenizer.spec.scales[d.step.scale]))} codes" for d in record]
    if trained.model.residual_head is not None:
        frames, titles = [*frames, full], [*titles, "with the residual"]
    stored = medium.store(torch.stack(frames, 1)).cpu()
    cells = [[medium.show(sample, titles[i]) for i, sample in enumerate(row)] for row in stored]
    classes = trained.data.classes
    names = (
        [each if isinstance(each, str) else classes[each] for each in asked] if classes or trained.reads_text else []
    )
    caption = "Each row is one seed: the canvas after each step, in the order of painting."
    return Progression(f"How {_article(medium.unit)} {medium.unit} comes about", cells, titles, names, caption)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
