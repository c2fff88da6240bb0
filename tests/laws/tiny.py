"""Options with which each card builds in milliseconds, and the parts they build."""

from collections.abc import Mapping
from typing import Any

from hybridgen.assemble import assemble_part
from hybridgen.config import compose
from hybridgen.registry import Registry

PYRAMID = ["scales=[1, 2, 4]", "vocab=11", "channels=3", "widths=[8]", "encoder_blocks=1", "decoder_blocks=1"]
ONE_SCALE = ["scales=[]", *PYRAMID[1:]]
TOKEN_NET = ["mlp_width=16", "depth=2"]
GRID_NET = ["head_width=16", "depth=2", "heads=2"]
TRANSFORMER = ["width=16", "depth=2", "heads=2", "mlp_ratio=2"]

TINY = {
    "tokenizer": {
        "continuous": PYRAMID[2:],
        "discrete": ONE_SCALE,
        "hybrid": PYRAMID,
        "hybrid_codes_first": PYRAMID,
        "patch": [],
        "pyramid": PYRAMID,
    },
    "conditioner": {"label": ["drop=0.5"], "none": []},
    "order": {"last": [], "scales": []},
    "backbone": {"causal": TRANSFORMER, "none": ["width=16"]},
    "code_head": {"categorical": []},
    "residual_head": {
        "diffusion": TOKEN_NET,
        "flow": TOKEN_NET,
        "grid_diffusion": GRID_NET,
        "grid_flow": GRID_NET,
    },
    "solver": {"ddim": [], "ddpm": [], "dpm++": [], "euler": [], "heun": []},
}


def path_of(slot: str) -> str:
    """Where a slot stands in an experiment."""
    return "sampler.solver" if slot == "solver" else f"model.{slot}"


def cards(slot: str) -> list[tuple[str, list[str]]]:
    """Every card of a slot, with its tiny options; a card without them is an error."""
    return [(name, TINY[slot][name]) for name in Registry().names(slot)]


def build(slot: str, card: str, options: list[str], offered: Mapping[str, Any] | None = None) -> Any:
    """The part of a card, given what it asks of its neighbours."""
    path = path_of(slot)
    composed = compose("base", [f"{path}={card}", *(f"{path}.{option}" for option in options)])
    return assemble_part(composed, path, offered, slot=slot)
