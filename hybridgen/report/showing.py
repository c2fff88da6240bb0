"""What a trained model has to show: a sheet of samples, and how a sample comes about."""

from typing import Any

import torch

from hybridgen.generate.trained import Trained
from hybridgen.media.base import Sheet
from hybridgen.model import StepRecord
from hybridgen.report.progression import Progression
from hybridgen.runs.weights import model_hash

SHOWN = 5  # samples of each class on a sheet
MOST_CLASSES = 20  # classes on a sheet


def sample_sheet(trained: Trained, seed: int = 0, **settings: Any) -> Sheet:
    """`SHOWN` samples of each class, a column for each, with their making inside."""
    classes = trained.data.classes[:MOST_CLASSES] or ("",) * SHOWN
    labels = [c if trained.data.classes else 0 for _ in range(SHOWN) for c in range(len(classes))]
    stored = trained.medium.store(trained.sample(labels, seed=seed, **settings))
    about = {
        "model": model_hash(trained.path) if trained.path.exists() else None,
        "experiment": trained.path.parent.parent.name,
        "seeds": [seed, seed + len(labels) - 1],
        "labels": labels,
        "sampler": {**trained.config["sampler"], **settings},
    }
    titles = classes if trained.data.classes else ()
    return trained.medium.sheet(stored, about, columns=len(classes), column_titles=titles)


def progression(trained: Trained, count: int = 6, seed: int = 0) -> Progression:
    """The same seeds, the canvas after each step of the codes, then with the residual."""
    labels = [i % max(1, len(trained.data.classes)) for i in range(count)]
    sampler, record, medium = trained.sampler, list[StepRecord](), trained.medium
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
    stored = medium.store(torch.stack(frames, 1)).cpu()
    cells = [[medium.show(sample, titles[i]) for i, sample in enumerate(row)] for row in stored]
    names = [trained.data.classes[i] for i in labels] if trained.data.classes else []
    caption = "Each row is one seed: the canvas after each step, in the order of painting."
    return Progression(f"How {_article(medium.unit)} {medium.unit} comes about", cells, titles, names, caption)


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
