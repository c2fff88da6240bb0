"""Generators by content: one that a config asks for is trained once, however many trials, studies or runs ask for it.

runs/generators/<hash>/ lies beside runs/tokenizers/<hash>/ and works alike. A finished run of `hybridgen train` with
the same config counts too. What only draws or judges, and where things lie, is no part of the hash.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from hybridgen.config.compose import Composed
from hybridgen.config.migrate import first_words
from hybridgen.data.base import Data
from hybridgen.media.provenance import model_hash
from hybridgen.model import HybridModel
from hybridgen.runs.run import GENERATORS, Run, experiments_in, runs_in
from hybridgen.system.files import lock
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.generator_stage import train_generator
from hybridgen.training.machine import Machine
from hybridgen.training.tokenizer_stage import folder_name

FORMAT = 1  # raise it when the same config begins to train another generator
FREE = ("runs", "device", "precision", "tracking", "sampler", "metrics")  # the precision is in the tokenizer's hash


def generator_key(config: Mapping[str, Any], tokenizer: str) -> dict[str, Any]:
    """Everything that decides which generator comes out.

    Args:
        config: resolved.
        tokenizer: name of its tokenizer's folder.
    """
    kept = {name: value for name, value in first_words(config).items() if name not in FREE}
    kept["data"] = {name: value for name, value in config["data"].items() if name != "root"}
    looks = {name: value for name, value in config["train"]["generator"].items() if name != "sample_every"}
    kept["train"] = {**config["train"], "generator": looks}
    if config.get("init") is not None:
        kept["init"] = model_hash(Path(config["init"]))
    return {"format": FORMAT, "tokenizer": tokenizer, "config": kept}


def find_generator(name: str, root: Path) -> Run | None:
    """The finished generator of that hash, among those of sweeps and then among finished runs."""
    folder = root / GENERATORS / name
    if (folder / "model.safetensors").exists():
        return Run(folder)
    return next((run for run in _finished(root) if _name_of(run) == name), None)


def obtain_generator(
    composed: Composed, tokenizer: Tokenizer, tokenizer_run: Run, data: Data, machine: Machine, root: Path,
    say: Callable[[str], None], extra: Sequence[pl.Callback] = (),
) -> tuple[HybridModel, Run]:  # fmt: skip
    """The trained generator with averaged weights, and the folder it lies in.

    Whoever comes first trains it under a lock; others wait, and if the first one dies or is stopped, the next goes on
    from its checkpoint.
    """
    key = generator_key(composed.config, tokenizer_run.name)
    folder = root / GENERATORS / folder_name(key)
    found = find_generator(folder.name, root)
    if found is not None:
        return train_generator(composed, tokenizer, data, machine, found, None), found
    with lock(folder / ".lock", waiting=say):
        run = Run.at(folder, composed.config, composed.delta, links={})
        known = run.model.exists()
        if not known:
            run.resume()
            run.link("tokenizer", tokenizer_run)
        try:
            model = train_generator(composed, tokenizer, data, machine, run, None, extra)
        except BaseException as error:
            run.finish("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        if not known:
            run.finish()
    return model, run


def _finished(root: Path) -> list[Run]:
    folders = [path for name in experiments_in(root) for path in runs_in(root / name)]
    return [run for run in map(Run, folders) if run.model.exists() and run.info["status"] == "finished"]


def _name_of(run: Run) -> str:
    """The name that a run's generator would have; empty where it cannot be told."""
    tokenizer = run.info.get("links", {}).get("tokenizer", "")
    try:
        return folder_name(generator_key(run.config, Path(tokenizer).name)) if tokenizer else ""
    except (KeyError, TypeError, OSError):  # written by another version
        return ""
