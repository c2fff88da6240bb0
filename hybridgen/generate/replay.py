"""A sample drawn again from what it says of its own making."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hybridgen.generate.trained import load
from hybridgen.generate.write import requested
from hybridgen.media.image import to_bytes
from hybridgen.media.provenance import model_hash, read_provenance, save_picture, to_image
from hybridgen.runs.run import Run, experiments_in, find_weights, runs_in
from hybridgen.system.errors import UserError, warn


def draw_again(picture: Path, model: str | None, runs: Path, registries: Sequence[Path], out: Path) -> bool:
    """Draws a picture again from its provenance and writes it to `out`; True when every pixel is the same.

    Raises:
        UserError: the picture does not say enough, or no run has the weights that it names.
    """
    said = read_provenance(picture)
    enough = {"model", "seed", "sampler"} <= said.keys() and not said.keys().isdisjoint({"label", "prompt"})
    if not enough or said.get("given"):
        raise UserError(f"{picture}: only single pictures drawn from a seed can be drawn again; this is another kind")
    file = _with_weights(said["model"], runs) if model is None else find_weights(model, runs)
    trained = load(file, registries=registries)
    settings = {name: value for name, value in said["sampler"].items() if name != "card"}
    if "prompt" in said:
        trained.load_text_encoder(said.get("text_encoder"), said.get("system_prompt"))
    request = [said["prompt"] if "prompt" in said else said["label"]]
    pixels = to_bytes(trained.sample(**requested(request), seed=said["seed"], **settings)).numpy()[0]
    save_picture(out, pixels, {key: value for key, value in said.items() if key != "version"})
    with Image.open(picture) as before:
        return np.array_equal(np.asarray(before), np.asarray(to_image(pixels)))


def _with_weights(digest: str, runs: Path) -> Path:
    """The weights file under `runs` whose hash this is."""
    for experiment in experiments_in(runs):
        for folder in reversed(runs_in(runs / experiment)):
            if _hash(Run(folder).model) == digest:
                return Run(folder).model
    raise UserError(f"{runs}: no run has the weights {digest}; name the model with --model, or its folder with --runs")


def _hash(weights: Path) -> str:
    """The hash of a weights file; empty where there is none, and with a warning where it is damaged."""
    try:
        return model_hash(weights) if weights.exists() else ""
    except UserError as error:
        warn(error)
        return ""
