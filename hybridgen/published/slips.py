"""Official slips, and the options that reproduce them: slips.yaml, read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SLIPS = Path(__file__).with_name("slips.yaml")


@dataclass(frozen=True)
class Setting:
    """One option, in an experiment.

    Args:
        at: its path.
        card: of the part that has it; empty: of none.
        value: that reproduces the slip.
        experiment: under experiments/published/.
        is_set: the experiment says this value; if not, it takes it.
    """

    at: str
    card: str
    value: Any
    experiment: str
    is_set: bool


@dataclass(frozen=True)
class Slip:
    """What an official code does, where it was listed, and either settings or the reason why there are none."""

    what: str
    listed: tuple[str, ...]
    settings: tuple[Setting, ...]
    not_rebuilt: str


def slips() -> list[Slip]:
    """All of them, in the file's order."""
    found = []
    for entry in yaml.safe_load(SLIPS.read_text(encoding="utf-8")):
        settings = tuple(
            Setting(one["at"], one.get("card", ""), one["value"], one["in"], one.get("set", True))
            for one in entry.get("options", ())
        )
        found.append(Slip(entry["slip"], tuple(entry["listed"]), settings, entry.get("not_rebuilt", "")))
    return found
