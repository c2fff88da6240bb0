"""Options with which each card builds in milliseconds, and the parts they build."""

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

PYRAMID = ["scales=[1, 2, 4]", "vocab=11", "channels=3", "widths=[8]", "encoder_blocks=1", "decoder_blocks=1"]
UNEVEN = {1: "[1, 4, 10]", 2: "[[1, 1], [2, 3], [3, 5]]", 3: "[[1, 1, 1], [1, 2, 3], [2, 3, 5]]"}  # of such a pyramid
ONE_SCALE = ["scales=[]", *PYRAMID[1:]]
NORMED = [
    f"net.{option}"
    for option in (
        "base=4", "multipliers=[1,2]", "groups=1", "encoder_blocks=1", "decoder_blocks=1", "encoder_attention=[1]",
    )
]  # fmt: skip
SHALLOW = NORMED[:-1]  # without attention: fewer roundings on the way, for the law of bf16
MIRRORED = [*NORMED, "net.decoder_attention=[1]"]
SHARED = [*PYRAMID[:3], *MIRRORED, "phi_count=2"]
TOKEN_NET = ["mlp_width=16", "depth=2"]
GRID_NET = ["head_width=16", "depth=2", "heads=2"]
TRANSFORMER = ["width=16", "depth=2", "heads=2", "mlp_ratio=2"]
MASKED = [*TRANSFORMER, "encoder_width=12", "encoder_depth=1", "encoder_heads=3", "buffer=2"]

TINY = {
    "tokenizer": {
        "continuous": PYRAMID[2:],
        "discrete": ONE_SCALE,
        "hybrid": PYRAMID,
        "hybrid_codes_first": PYRAMID,
        "hybrid_vq_ch160_v4096": SHARED,
        "kl16": ["channels=3", *NORMED],
        "multiscale_vq_ch160_v4096": SHARED,
        "patch": [],
        "pyramid": PYRAMID,
        "sd_vae": ["channels=3", *NORMED],
        "vq16": ["vocab=11", "channels=3", *MIRRORED, "net.inner=5"],
        "vq8": ["vocab=11", "channels=3", *MIRRORED, "net.inner=5"],
    },
    "conditioner": {"label": ["drop=0.5"], "none": [], "text": ["features=4", "length=3", "drop=0.5"]},
    "order": {"last": [], "scales": [], "sets": [], "sets_cosine": []},
    "backbone": {"causal": TRANSFORMER, "masked": MASKED, "none": ["width=16"]}
    | {f"masked_mar_{size}": [*MASKED, "dropout=0.0"] for size in "bhl"},
    "code_head": {"categorical": []},
    "residual_head": {
        "diffusion": TOKEN_NET,
        "diffusion_hart": TOKEN_NET,
        "flow": TOKEN_NET,
        "grid_diffusion": GRID_NET,
        "grid_diffusion_dit": GRID_NET,
        "grid_flow": GRID_NET,
        "grid_flow_sit": GRID_NET,
        "regression": TOKEN_NET,
    }
    | {f"diffusion_mar_{size}": TOKEN_NET for size in "bhl"},
    "solver": {"ddim": [], "ddpm": [], "dopri5": [], "dpm++": [], "euler": [], "heun": [], "sde": []},
}
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
    """Every card of a slot, with its tiny options; a card without them is an error."""
    return [(name, TINY[slot][name]) for name in Registry().names(slot)]


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
        settings += [] if card == "null" else [f"model.{slot}.{option}" for option in TINY[slot][card]]
    return experiment(
        *settings, *(f"model.{override}" for override in overrides if override.split("=")[0] not in STANDARD)
    )


def model(*overrides: str, dims: int = 2, uneven: bool = False) -> HybridModel:
    """The model of `composed_model` for data of that many dimensions; `uneven` ones need `UNEVEN` scales or none."""
    torch.manual_seed(0)
    return assemble_model(composed_model(*overrides), data(dims, uneven))
