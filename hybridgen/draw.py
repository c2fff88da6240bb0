"""Pictures of a trained model as files, each with its making inside; also a given picture completed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hybridgen.checkpoint import Trained, load
from hybridgen.data.pictures import as_tensor, fitted, read_picture
from hybridgen.errors import UserError, unknown
from hybridgen.evaluation.drawing import rounded
from hybridgen.model import Given
from hybridgen.nn.resize import shrink
from hybridgen.provenance import model_hash, read_provenance, save_picture, to_image
from hybridgen.report.grid import picture_grid
from hybridgen.runs import Run, experiments_in, runs_in


def draw_files(
    trained: Trained, labels: str | None, count: int | None, seed: int, out: Path,
    given: Path | None = None, mask: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Draws and writes `seed_000000.png` … and `grid.png`; the paths written.

    Raises:
        UserError: an unknown class, or a picture or mask that cannot be read.
    """
    chosen = None if labels is None else [_class(text.strip(), trained) for text in labels.split(",")]
    start = (
        None
        if given is None
        else read_given(trained, given, mask, len(chosen) if chosen else (count or _classes(trained)))
    )
    x = trained.sample(chosen, count=count, seed=seed, given=start, batch=250 if start is None else 10**9)
    pixels = rounded(x).numpy()
    about = {"model": model_hash(trained.path), "sampler": trained.config["sampler"], "given": given and str(given)}
    files = []
    for i, picture in enumerate(pixels):
        label = chosen[i] if chosen else i % _classes(trained)
        files.append(out / f"seed_{seed + i:06d}.png")
        named = trained.data.classes[label] if trained.data.classes else None
        save_picture(files[-1], picture, {**about, "seed": seed + i, "label": label, "class": named})
    files.append(out / "grid.png")
    save_picture(files[-1], picture_grid(pixels), {**about, "seeds": [seed, seed + len(pixels) - 1]})
    return files


def read_given(trained: Trained, picture: Path, mask: Path | None, count: int) -> Given:
    """The picture's tokens, repeated, and where they are kept: where the mask is white; without one, everywhere known.

    A position of the latent is kept when the mask is white over all of it.
    """
    if mask is None:
        raise UserError("--given needs --mask: a picture that is white where the given one is kept")
    channels, size = trained.data.channels, trained.data.size
    x = as_tensor(fitted(read_picture(picture, channels), size[-1])).float() / 127.5 - 1
    white = (as_tensor(fitted(read_picture(mask, 1), size[-1])).float() > 127).float()
    spec = trained.model.tokenizer.spec
    with torch.no_grad():
        tokens = trained.model.tokenizer.encode(x[None].repeat(count, *[1] * x.dim()).to(trained.device))
    known = shrink(white[None], spec.grid).repeat(count, *[1] * white.dim()).to(trained.device)
    return Given(tokens, (known > 0.999).float())


def draw_again(picture: Path, model: str | None, runs: Path, registries: Sequence[Path], out: Path) -> bool:
    """Draws a picture again from its provenance and writes it to `out`; True when every pixel is the same.

    Raises:
        UserError: the picture does not say enough, or no run has the weights that it names.
    """
    said = read_provenance(picture)
    if not {"model", "seed", "label", "sampler"} <= said.keys() or said.get("given"):
        raise UserError(f"{picture}: only single pictures drawn from a seed can be drawn again; this is another kind")
    file = _with_weights(said["model"], runs) if model is None else Run.open(model, runs).model
    trained = load(file, registries=registries)
    settings = {name: value for name, value in said["sampler"].items() if name != "card"}
    pixels = rounded(trained.sample([said["label"]], seed=said["seed"], **settings)).numpy()[0]
    save_picture(out, pixels, {key: value for key, value in said.items() if key != "version"})
    with Image.open(picture) as before:
        return np.array_equal(np.asarray(before), np.asarray(to_image(pixels)))


def _with_weights(digest: str, runs: Path) -> Path:
    """The weights file under `runs` whose hash this is."""
    for experiment in experiments_in(runs):
        for folder in reversed(runs_in(runs / experiment)):
            if Run(folder).model.exists() and model_hash(Run(folder).model) == digest:
                return Run(folder).model
    raise UserError(f"{runs}: no run has the weights {digest}; name the model with --model, or its folder with --runs")


def _classes(trained: Trained) -> int:
    return max(1, len(trained.data.classes))


def _class(text: str, trained: Trained) -> int:
    if text.isdigit() and int(text) < _classes(trained):
        return int(text)
    if text in trained.data.classes:
        return trained.data.classes.index(text)
    known = [*trained.data.classes] or ["0"]
    raise UserError(unknown("class", text, known, "--labels"))
