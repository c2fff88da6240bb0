"""The weights inside a file: trainers store them under names of their own, beside optimisers, arguments and counters.

Where averaged weights lie beside the raw ones the averaged are taken: the official evaluations of DiT, SiT (`ema`) and
MAR (`model_ema`) do. VAR's trainer holds generator and tokenizer in one file, so a file may give several sets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

WRAPPINGS = ("ema", "model_ema", "model", "module", "state_dict")  # the first that is there is taken
NESTS = ("trainer",)  # holds several sets, each under a name of its own
PREFIXES = ("module.", "_orig_mod.")  # of data-parallel training and of torch.compile


@dataclass(frozen=True)
class Found:
    """A set of weights.

    Args:
        place: where in the file, such as "model_ema"; empty at the top.
        tensors: by their official names.
        beside: what lay beside it and was not taken.
    """

    place: str
    tensors: dict[str, Tensor]
    beside: tuple[str, ...] = field(default=())


def unwrap(held: Mapping[str, Any]) -> list[Found]:
    """The sets of weights in what a file holds; empty when there are none."""
    if _is_state(held):
        return [Found("", _plain(held))]
    for name in NESTS:
        if isinstance(held.get(name), Mapping):
            inner = held[name]
            sets = {key: value for key, value in inner.items() if _is_state(value)}
            beside = tuple(sorted({*map(str, held), *map(str, inner)} - {name, *sets}))
            return [Found(f"{name}.{key}", _plain(value), beside) for key, value in sets.items()]
    for name in WRAPPINGS:
        if _is_state(held.get(name)):
            return [Found(name, _plain(held[name]), tuple(sorted(map(str, held.keys() - {name}))))]
    return []


def _is_state(held: Any) -> bool:
    """Whether these are tensors by name and nothing else."""
    return (
        isinstance(held, Mapping)
        and len(held) > 0
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in held.items())
    )


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The names without what a wrapping class put before all of them."""
    names = dict(state)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names
