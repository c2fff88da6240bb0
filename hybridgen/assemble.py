"""Parts from cards, in the order in which data flows through them: read this to see how everything hangs together.

A part names before its `*` what it takes from its neighbours. What they offer: `data` (shape and classes of the data
set), `classes` (how many), `tokens` (what the tokenizer makes), `width` (of the hidden vectors; for the conditioner: of
the condition), `condition_width`.
"""

from collections.abc import Mapping
from typing import Any

import torch

from hybridgen.config.compose import Composed
from hybridgen.config.registry import Card, Registry
from hybridgen.config.schema import TREE, children, join
from hybridgen.config.signature import read
from hybridgen.config.values import as_tuple
from hybridgen.data.base import Data
from hybridgen.media.base import Medium
from hybridgen.model import HybridModel
from hybridgen.samplers.sampler import Sampler
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


def assemble_data(composed: Composed) -> Data:
    """The data set; nothing is read yet."""
    data: Data = assemble_part(composed, "data")
    return data


def assemble_medium(spec: DataSpec, registry: Registry) -> Medium:
    """How samples that look like this are stored, shown, written and read.

    Raises:
        UserError: no card of that name, or its samples look otherwise.
    """
    cls: Any = registry.load(registry.resolved_card("medium", spec.medium))
    medium: Medium = cls.of(spec)
    return medium


def assemble_model(composed: Composed, data: DataSpec) -> HybridModel:
    """Every part of the model, each given what those before it offer."""
    offered: dict[str, Any] = {"data": data, "classes": len(data.classes)}
    tokenizer = assemble_part(composed, "model.tokenizer", offered)
    offered["tokens"] = tokenizer.spec
    order = assemble_part(composed, "model.order", offered)
    backbone = assemble_part(composed, "model.backbone", offered)
    conditioner = assemble_part(composed, "model.conditioner", {**offered, "width": backbone.condition_width})
    offered |= {"width": backbone.width, "condition_width": backbone.condition_width}
    code_head = assemble_part(composed, "model.code_head", offered)
    residual_head = assemble_part(composed, "model.residual_head", offered)
    parts = (tokenizer, conditioner, order, backbone, code_head, residual_head)
    model: HybridModel = _placed(composed, "model", HybridModel, *parts, **_settings(composed, "model"))
    return model


def assemble_shell(composed: Composed, data: DataSpec) -> HybridModel:
    """The model on the device "meta": shapes of all weights, and no memory for them."""
    for path, node in TREE.items():  # classes first: what their modules hold is made of numbers
        if node.slot and composed.node(path) is not None:
            composed.registry.load(composed.registry.resolved_card(node.slot, composed.node(path)["card"]))
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return assemble_model(composed, data)


def assemble_sampler(composed: Composed) -> Sampler:
    """How the canvas is filled; nothing of it is trained."""
    sampler: Sampler = assemble_part(composed, "sampler")
    return sampler


def assemble_settings(composed: Composed, path: str) -> Any:
    """The settings of "train.generator", "metrics", "tracking" or, by the empty path, of the run; None where null."""
    if composed.node(path) is None:
        return None
    cls = composed.registry.load_class(TREE[path].target, path)
    return _placed(composed, path, cls, **_settings(composed, path))


def assemble_part(composed: Composed, path: str, offered: Mapping[str, Any] | None = None, slot: str = "") -> Any:
    """The part at `path` of the tree, given what it asks of `offered`; None where the tree says null.

    Raises:
        UserError: the part and its neighbours do not fit, with the place where the part was named.
    """
    node, slot, offered = composed.node(path), slot or TREE[path].slot, offered or {}
    if node is None:
        return None
    card = composed.registry.resolved_card(slot, node["card"])
    needed = read(card.target).neighbours
    lacking = [name for name in needed if name not in offered]
    if lacking:
        raise UserError(
            f"{composed.where(path)}: {card.name} asks for '{lacking[0]}' before its '*', which no neighbour offers\n"
            f"  known: {', '.join(sorted(offered)) or '(none)'}; options stand after the '*'"
        )
    taken = {name: offered[name] for name in needed}
    return _placed(composed, path, composed.registry.load(card), **taken, **_options(composed, path, card))


def _options(composed: Composed, path: str, card: Card) -> dict[str, Any]:
    """Options as the class takes them: lists as tuples, and parts built."""
    given, options = composed.node(path), read(card.target).options.values()
    return {
        o.name: assemble_part(composed, join(path, o.name), slot=o.slot) if o.slot else as_tuple(given[o.name])
        for o in options
    }


def _settings(composed: Composed, path: str) -> dict[str, Any]:
    below = children(path)
    return {name: as_tuple(value) for name, value in composed.node(path).items() if name not in below}


def _placed(composed: Composed, path: str, cls: Any, /, *args: Any, **kwargs: Any) -> Any:
    try:
        return cls(*args, **kwargs)
    except UserError as error:
        raise UserError(f"{composed.where(path)}: {error}") from error
