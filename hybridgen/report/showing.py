"""What a trained model has to show: a grid of samples, and how a picture is painted."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybridgen.generate.trained import Trained
from hybridgen.media.image import to_bytes
from hybridgen.media.image_grid import picture_grid
from hybridgen.media.provenance import model_hash, save_picture
from hybridgen.model import StepRecord
from hybridgen.report.progression import Strip

SHOWN = 5  # pictures of each class in a sample grid


def save_grid(trained: Trained, path: Path, seed: int = 0, **settings: Any) -> None:
    """A picture of `SHOWN` samples of each class, a column a class, with their making inside."""
    classes = trained.data.classes or ("",)
    labels = [c for _ in range(SHOWN) for c in range(len(classes))]
    x = trained.sample(labels, seed=seed, **settings)
    pixels = to_bytes(x).numpy()
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
    """The same seeds, the canvas after each step of the codes, then with the residual."""
    labels = [i % max(1, len(trained.data.classes)) for i in range(count)]
    sampler, record = trained.sampler, list[StepRecord]()
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
    pixels = to_bytes(torch.stack(frames, 1)).cpu().numpy()
    names = [trained.data.classes[i] for i in labels] if trained.data.classes else []
    caption = "Each row is one seed: the canvas after each step, in the order of painting."
    return Strip("How a picture is painted", np.ascontiguousarray(pixels), titles, names, caption)
