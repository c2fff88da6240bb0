"""What the official codes count, and what they compute that we keep: official.yaml, read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("official.yaml")


@dataclass(frozen=True)
class Count:
    """Multiply-accumulates of one row, with these overrides of the experiment.

    Args:
        overrides: as the command line takes them.
        generator: of all but the tokenizer.
        decoder: of the tokenizer's, once a sample.
        by: parts of the generator, by our names, where the official count was told apart.
    """

    overrides: tuple[str, ...]
    generator: float
    decoder: float
    by: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Official:
    """One published model, as its code counts.

    Args:
        model: our experiment under experiments/published/.
        parameters: of the generator.
        tokenizer: parameters of the tokenizer.
        spends: what the code computes and our loop keeps, reasons of `hybridgen.evaluation.spared`.
        counts: empty where nothing was counted.
    """

    model: str
    parameters: int
    tokenizer: int
    spends: tuple[str, ...]
    counts: tuple[Count, ...]


def official() -> dict[str, Official]:
    """Every published model by the name of its experiment."""
    found = {}
    for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        counts = tuple(
            Count(tuple(one.get("with", ())), one["generator"], one["decoder"], one.get("by", {}))
            for one in entry.pop("macs")
        )
        found[entry["model"]] = Official(**{**entry, "spends": tuple(entry["spends"])}, counts=counts)
    return found
