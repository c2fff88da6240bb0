"""The tokenizer that a run began with: a generator knows the codes of this one only, so it must still be the same."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hybridgen.config.migrate import first_words
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError


def linked_tokenizer(run: Run, key: Mapping[str, Any], name: str) -> Path | None:
    """The folder of the tokenizer that a run began with; None for a run that has none yet.

    Args:
        run: about to be trained, perhaps not for the first time.
        key: everything that decides today which tokenizer comes out.
        name: of the folder that a tokenizer with this key has.

    Raises:
        UserError: something that the tokenizer depends on has changed since; nothing was written.
    """
    link = run.info["links"].get("tokenizer")
    if link is None:
        return None
    folder = (run.path / link).resolve()
    if folder.name == name:
        return folder
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: the tokenizer of {run.path} is not there, and today's config and data make another")
    if changes := list(_changes("", _as_config(Run(folder).config), _as_config(key))):
        raise UserError(
            f"{run.path}: what its tokenizer depends on has changed; its generator knows that tokenizer's codes only"
            + "".join(f"\n  {line}" for line in changes)
            + f"\n  put it back as it was, or train anew: hybridgen train {run.experiment}"
        )
    return folder


def _as_config(key: Mapping[str, Any]) -> dict[str, Any]:
    """A key with its parts at their places in a config, in the option names of today."""
    plain = json.loads(json.dumps(dict(key)))
    rest = {name: value for name, value in plain.items() if name not in ("tokenizer", "training")}
    parts = {"model": {"tokenizer": plain.get("tokenizer")}, "train": {"tokenizer": plain.get("training")}}
    return first_words(rest | parts)


def _changes(path: str, before: Any, now: Any) -> Iterator[str]:
    """A line for each value that is not what it was; an option that is new since then counts for none."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name, value in before.items():
            yield from _changes(f"{path}.{name}" if path else name, value, now.get(name))
    elif before != now:
        note = " (the data have changed)" if path == "data.fingerprint" else ""
        yield f"{path}: was {json.dumps(before)}, is {json.dumps(now)}{note}"
