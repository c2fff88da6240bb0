"""A sample drawn again from what it says of its own making."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.generate.trained import load
from hybridgen.generate.write import requested
from hybridgen.runs.run import Run, experiments_in, find_weights, runs_in
from hybridgen.runs.weights import model_hash
from hybridgen.system.errors import UserError, warn


@dataclass(frozen=True)
class Replayed:
    """A sample drawn again: where it was written, and whether every stored value is the same."""

    path: Path
    same: bool


def draw_again(sample: Path, model: str | None, runs: Path, registries: Sequence[Path], out: Path | None) -> Replayed:
    """Draws a sample again from its provenance and writes it to `out`, by default beside it.

    Raises:
        UserError: the sample does not say enough, or no run has the weights that it names.
    """
    said = _said(sample, registries)
    enough = {"model", "seed", "sampler"} <= said.keys() and not said.keys().isdisjoint({"label", "prompt"})
    if not enough or said.get("given"):
        raise UserError(f"{sample}: only single samples drawn from a seed can be drawn again; this is another kind")
    file = _with_weights(said["model"], runs) if model is None else find_weights(model, runs)
    trained = load(file, registries=registries)
    settings = {name: value for name, value in said["sampler"].items() if name != "card"}
    if "prompt" in said and trained.model.conditioner.text_features:
        trained.load_text_encoder(said.get("text_encoder"), said.get("system_prompt"))
    request = [said["prompt"] if "prompt" in said else said["label"]]
    drawn = trained.medium.store(trained.sample(**requested(request), seed=said["seed"], **settings))[0]
    path = out or sample.with_name(f"{sample.stem}_again{sample.suffix}")
    trained.medium.write(path, drawn, {key: value for key, value in said.items() if key != "version"})
    return Replayed(path, torch.equal(trained.medium.read(sample), drawn))


def _said(sample: Path, registries: Sequence[Path]) -> dict[str, Any]:
    """What the sample says of its making, read by the medium whose files end as it does."""
    registry = Registry(registries)
    cards = [registry.card("medium", name, Place("hybridgen replay")) for name in registry.names("medium")]
    classes: list[Any] = [registry.load(card) for card in cards]
    media = [medium for medium in classes if medium.suffix == sample.suffix.lower()]
    if not media:
        raise UserError(f"{sample}: no medium writes files that end in '{sample.suffix}'")
    said: dict[str, Any] = media[0]().provenance(sample)
    return said


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
