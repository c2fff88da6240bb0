"""What a config decides: which tokenizer and which generator are trained, which samples are drawn, or nothing of these.

Each node of `schema.TREE` says so itself (`Node.decides`). A key holds all that decides a model, and its hash names the
model's folder, so that a model is trained once however many experiments ask for it. A key stays the same when an option
is added later and stands at its default (`ADDED`), and when an option gets another name or place: keys are
in the words of the first version (`first_words`).
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import yaml

from hybridgen.config.migrate import first_words
from hybridgen.config.schema import TREE, Decides, join
from hybridgen.system.errors import UserError, unknown

Config = Mapping[str, Any]
Model = Literal["trained model", "resume"]

TOKENIZER_FORMAT = 1  # raise it when the same config begins to train another tokenizer
GENERATOR_FORMAT = 1  # raise it when the same config begins to train another generator

ADDED: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "tokens": "auto",
        "compute.workers": None,
        "model.tokenizer.l2": 1.0,
        "model.tokenizer.perceptual": None,
        "model.tokenizer.adversary": None,
    }
)
"""Default of each option that was added after keys with its node were stored, by dotted path: at its default it is not
part of a key. An entry is never removed and its default never changed."""

_ORDER: Final[tuple[Decides, ...]] = ("tokenizer", "generator", "sample", "nothing")  # what decides more comes first
_BY_CONTENT = ("data.root",)  # the fingerprint of the data stands for the folder that they lie in
_BY_MACHINE = ("precision",)  # the precision that the machine has stands for "auto"
_HASHED = ("compute",)  # decides nothing, but is part of all keys that were ever stored
_NAMES = {"model.tokenizer": "tokenizer", "train.tokenizer": "training"}  # of nodes in a tokenizer's key


def decides(path: str) -> Decides:
    """What the value at a dotted path decides; a node with nodes below it decides what these decide."""
    below = [kind for other, kind in _decisions().items() if other.startswith(f"{path}.") or not path]
    return min([_own(path), *below], key=_ORDER.index)


def retrains(path: str) -> Literal["tokenizer", "generator", "nothing"]:
    """What must be trained anew after a change of the value at a dotted path; a new tokenizer needs a new generator."""
    kind = decides(path)
    return kind if kind in ("tokenizer", "generator") else "nothing"


def nodes_that_decide(kind: Decides) -> tuple[str, ...]:
    """The nodes and single options, by dotted path, that decide this and no more."""
    return tuple(path for path, decided in _decisions().items() if decided == kind)


def may_change(of: Model) -> tuple[str, ...]:
    """The nodes at the root that may differ from the stored config: of a trained model, or of a run that is resumed.

    A trained model may be judged on other data. A resumed run stays in its folder, on its kind of device.
    """
    if of == "resume":
        return tuple(path for path in nodes_that_decide("nothing") if path in TREE)
    free = (*nodes_that_decide("sample"), *nodes_that_decide("nothing"), "data")
    return tuple(path for path in free if "." not in path)


def check_changes(overrides: Sequence[str], of: Model) -> None:
    """Raises `UserError` for the first override, `key=value`, of something that may not change any more."""
    for override in overrides:
        key = override.split("=")[0]
        if key.split(".")[0] not in may_change(of):
            raise UserError(unknown("key", key, may_change(of), f"{of}, what may change"))


def canonical(config: Config) -> dict[str, Any]:
    """A config in the words of the first version, and without the options of `ADDED` that stand at their defaults."""
    told = first_words(config)
    return _without(told, [path for path, default in ADDED.items() if _at(told, path) == default])


def tokenizer_parts(config: Config) -> dict[str, Any]:
    """The values that decide which tokenizer is trained, by dotted path; the fingerprint of the data is one more."""
    told = _without(canonical(config), _BY_CONTENT)
    return {path: _at(told, path) for path in nodes_that_decide("tokenizer") if path not in _BY_MACHINE}


def tokenizer_key(config: Config, fingerprint: str, precision: str) -> dict[str, Any]:
    """All that decides which tokenizer is trained.

    Args:
        config: resolved.
        fingerprint: of the data.
        precision: that the machine trains in.
    """
    parts = {_NAMES.get(path, path): value for path, value in tokenizer_parts(config).items()}
    parts["data"] = parts["data"] | {"fingerprint": fingerprint}
    return {"format": TOKENIZER_FORMAT, **parts, "precision": precision}


def generator_key(config: Config, tokenizer: str, init: str | None) -> dict[str, Any]:
    """All that decides which generator is trained.

    Args:
        config: resolved.
        tokenizer: name of its tokenizer's folder.
        init: hash of the weights that training begins with; None where it begins anew.
    """
    free = {*nodes_that_decide("sample"), *nodes_that_decide("nothing")} - {*_HASHED}
    kept = _without(canonical(config), [*free, *_BY_CONTENT, *_BY_MACHINE])
    return {"format": GENERATOR_FORMAT, "tokenizer": tokenizer, "config": kept | {"init": init}}


def study_key(config: Config, space: Mapping[str, Any], search: Sequence[Any], renew: bool = True) -> list[Any]:
    """All that decides which study a command works on.

    Args:
        config: resolved.
        space: what is searched, as JSON.
        search: for what, and how.
        renew: False for the key of the version that stored the config.
    """
    away = [path for path in nodes_that_decide("nothing") if "." not in path and path not in _HASHED]
    return [space, _without(canonical(config) if renew else config, away), list(search)]


def apart_from_seed(config: Config) -> dict[str, Any]:
    """What runs must share to be averaged: all of a config but the seed and what decides nothing."""
    return _without(canonical(config), ["seed", *nodes_that_decide("nothing")])


def folder_name(key: Any, digits: int = 16) -> str:
    """The hash of a key, which names what it makes."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:digits]


def tokenizer_folder(key: Config, parent: Path) -> Path:
    """The folder of a tokenizer: that of its hash, or one below `parent` whose stored key means the same today."""
    named = parent / folder_name(key)
    if named.exists():
        return named
    stored = sorted(parent.glob("*/config.yaml"))
    return next((file.parent for file in stored if _renewed(yaml.safe_load(file.read_text())) == key), named)


def _renewed(key: Any) -> dict[str, Any] | None:
    """A stored tokenizer's key as it would be stored today; None where it cannot be."""
    try:
        data, config = dict(key["data"]), dict[str, Any]()
        fingerprint = data.pop("fingerprint")
        for path in tokenizer_parts({}):
            value = data if path == "data" else key[_NAMES.get(path, path)]
            above, _, name = path.rpartition(".")
            (config.setdefault(above, {}) if above else config)[name] = value
        renewed = tokenizer_key(config, fingerprint, key["precision"])
        return renewed if key["format"] == TOKENIZER_FORMAT else None
    except (KeyError, TypeError, ValueError, AttributeError):  # written by another version
        return None


def _decisions() -> dict[str, Decides]:
    """What each node decides, and each option that decides something else than the rest of its node."""
    nodes: dict[str, Decides] = {path: node.decides for path, node in TREE.items() if path}
    apart = ((join(path, name), kind) for path, node in TREE.items() for name, kind in node.apart.items())
    return nodes | dict(apart)


def _own(path: str) -> Decides:
    """By the nearest node or option at or above the path."""
    known = _decisions()
    while path and path not in known:
        path = path.rpartition(".")[0]
    return known[path] if path else TREE[""].decides


def _without(config: Config, paths: Iterable[str]) -> dict[str, Any]:
    """A copy that lacks these paths."""
    kept = copy.deepcopy(dict(config))
    for path in paths:
        above, _, name = path.rpartition(".")
        node = _at(kept, above)
        if isinstance(node, dict):
            node.pop(name, None)
    return kept


def _at(tree: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split(".") if path else ():
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
