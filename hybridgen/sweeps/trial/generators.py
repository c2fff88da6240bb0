"""Generators by content: each is trained once, however many trials, studies or runs ask for it.

runs/generators/<hash>/ lies beside runs/tokenizers/<hash>/ and works alike. A finished run of `hybridgen train` with
the same config counts too. `config/identity.py` says what is part of the hash.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from hybridgen.config.compose import Composed
from hybridgen.config.identity import folder_name, generator_key
from hybridgen.data.base import Data
from hybridgen.model import HybridModel
from hybridgen.runs.run import GENERATORS, Run, experiments_in, readable, runs_in
from hybridgen.runs.weights import model_hash
from hybridgen.system.errors import UserError
from hybridgen.system.files import lock
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.generator_stage import train_generator
from hybridgen.training.machine import Machine


def generator_name(config: Mapping[str, Any], tokenizer: str) -> str:
    """The name of a generator's folder: the hash of all that decides which generator is trained.

    Args:
        config: resolved.
        tokenizer: name of its tokenizer's folder.
    """
    init = None if config.get("init") is None else model_hash(Path(config["init"]))
    return folder_name(generator_key(config, tokenizer, init))


def find_generator(name: str, root: Path) -> Run | None:
    """The finished generator of that name, among those of sweeps and then among finished runs."""
    folder = _folder(name, root)
    if (folder / "model.safetensors").exists():
        return Run(folder)
    return next((run for run in _finished(root) if _name_of(run) == name), None)


def obtain_generator(
    composed: Composed, tokenizer: Tokenizer, tokenizer_run: Run, data: Data, machine: Machine, root: Path,
    say: Callable[[str], None], extra: Sequence[pl.Callback] = (),
) -> tuple[HybridModel, Run]:  # fmt: skip
    """The trained generator with averaged weights, and the folder it lies in.

    The first to ask trains it under a lock; others wait, and if the first one dies or is stopped, the next goes on
    from its checkpoint.
    """
    name = generator_name(composed.config, tokenizer_run.name)
    found, folder = find_generator(name, root), _folder(name, root)
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


def _folder(name: str, root: Path) -> Path:
    """The folder of that name, or one of an earlier version whose config means the same today."""
    folder = root / GENERATORS / name
    if folder.exists():
        return folder
    return next((path for path in runs_in(root / GENERATORS) if _name_of(Run(path)) == name), folder)


def _finished(root: Path) -> list[Run]:
    folders = [path for name in experiments_in(root) for path in runs_in(root / name)]
    return [run for run in readable(folders) if run.model.exists() and run.info["status"] == "finished"]


def _name_of(run: Run) -> str:
    """The name that a run's generator would have; empty where it cannot be told."""
    tokenizer = run.info["links"].get("tokenizer", "")
    try:
        return generator_name(run.config, Path(tokenizer).name) if tokenizer else ""
    except (AttributeError, KeyError, OSError, TypeError, UserError):  # written by another version, or `init` is gone
        return ""
