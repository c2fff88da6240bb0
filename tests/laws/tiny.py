"""Options with which each card builds in milliseconds, and the parts they build."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import torch

from hybridgen.assemble import assemble_model, assemble_part
from hybridgen.config.compose import Composed, compose
from hybridgen.config.registry import Registry
from hybridgen.laws.toy import data
from hybridgen.model import HybridModel


def said(options: Mapping[str, Any], above: str = "") -> list[str]:
    """Options as overrides: ["depth=2", "net.base=4"]."""
    return [
        text
        for name, value in options.items()
        for text in (
            said(value, f"{above}{name}.") if isinstance(value, dict) else [f"{above}{name}={json.dumps(value)}"]
        )
    ]


def tiny(slot: str, card: str) -> list[str]:
    """The options with which a card builds in milliseconds, which it states itself."""
    return said(Registry().tiny(slot, card))


UNEVEN = {1: "[1, 4, 10]", 2: "[[1, 1], [2, 3], [3, 5]]", 3: "[[1, 1, 1], [1, 2, 3], [2, 3, 5]]"}  # of such a pyramid
PYRAMID, ONE_SCALE, SIMPLE = (tiny("tokenizer", card) for card in ("pyramid", "discrete", "continuous"))
TRANSFORMER, MASKED = (tiny("backbone", card) for card in ("causal", "masked"))
SHALLOW = [  # without attention: fewer roundings on the way, for the law of bf16
    "net.base=4", "net.multipliers=[1,2]", "net.groups=1", "net.encoder_blocks=1", "net.decoder_blocks=1",
]  # fmt: skip
STANDARD = {
    "tokenizer": "hybrid",
    "conditioner": "label",
    "order": "scales",
    "backbone": "causal",
    "code_head": "categorical",
    "residual_head": "flow",
}

SLOW = pytest.mark.slow
DIMS = [pytest.param(1, marks=SLOW), 2, pytest.param(3, marks=SLOW)]  # pictures with the fast tests


def path_of(slot: str) -> str:
    """Where a slot stands in an experiment."""
    return "sampler.solver" if slot == "solver" else f"model.{slot}"


def cards(slot: str) -> list[tuple[str, list[str]]]:
    """Every card of a slot, with its tiny options."""
    return [(name, tiny(slot, name)) for name in Registry().names(slot)]


def build(slot: str, card: str, options: list[str], offered: Mapping[str, Any] | None = None) -> Any:
    """The part of a card, given what it asks of its neighbours."""
    path = path_of(slot)
    composed = experiment(f"{path}={card}", *(f"{path}.{option}" for option in options))
    return assemble_part(composed, path, offered, slot=slot)


@cache
def experiment(*overrides: str) -> Composed:
    """An experiment over the base; composing is half of what building a tiny part takes."""
    return compose("base", overrides)


def composed_model(*overrides: str) -> Composed:
    """An experiment of tiny parts, those of `STANDARD` unless overridden: "slot=name", "slot.option=value"."""
    chosen = dict(override.split("=", 1) for override in overrides if "." not in override.split("=")[0])
    settings = []
    for slot, standard in STANDARD.items():
        card = chosen.get(slot, standard)
        settings.append(f"model.{slot}={card}")
        settings += [] if card == "null" else [f"model.{slot}.{option}" for option in tiny(slot, card)]
    return experiment(
        *settings, *(f"model.{override}" for override in overrides if override.split("=")[0] not in STANDARD)
    )


def model(*overrides: str, dims: int = 2, uneven: bool = False) -> HybridModel:
    """The model of `composed_model` for data of that many dimensions; `uneven` ones need `UNEVEN` scales or none."""
    torch.manual_seed(0)
    return assemble_model(composed_model(*overrides), data(dims, uneven))
