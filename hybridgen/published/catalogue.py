"""Where each official file is published, its licence as stated there, its size: catalogue.yaml, read."""

from dataclasses import dataclass
from pathlib import Path

import yaml

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True)
class OfficialFile:
    """One file. `mib`: its size in MiB; None: not stated."""

    part: str
    at: str
    mib: int | None


@dataclass(frozen=True)
class Entry:
    """One published model.

    Args:
        model: our experiment under experiments/published/.
        source: repository@commit of the official code.
        licence: as stated there.
        files: empty when no weights were published.
    """

    model: str
    source: str
    licence: str
    files: tuple[OfficialFile, ...]


def catalogue() -> dict[str, Entry]:
    """Every published model by the name of its experiment."""
    entries = {}
    for group in yaml.safe_load(CATALOGUE.read_text(encoding="utf-8")):
        for model in group["models"]:
            size = model.partition("_")[2].upper()
            files = tuple(
                OfficialFile(file["part"], file["at"].format(model=model, SIZE=size), file["mib"])
                for file in group["files"]
            )
            entries[model] = Entry(model, group["source"], group["licence"], files)
    return entries
