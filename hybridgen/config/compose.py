"""An experiment composed: its file, what that extends and the overrides, as one plain tree in which all is said.

compose("image/hart_cifar10", ["model.backbone.depth=8"]).config["model"]["backbone"]["depth"]   # 8
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from hybridgen.config.experiments import find_experiment, read_experiment
from hybridgen.config.merge import check_texts, merge
from hybridgen.config.migrate import migrate
from hybridgen.config.overrides import read_overrides
from hybridgen.config.paths import experiments_folder
from hybridgen.config.registry import Registry
from hybridgen.config.resolve import resolve, resolve_part, where
from hybridgen.config.schema import BLOCKS
from hybridgen.config.yaml_text import Layer, Place


@dataclass(frozen=True)
class Composed:
    """A resolved experiment.

    `config` is plain and complete: numbers, texts, lists, mappings, None; a part is `{card: name, option: value, ...}`.
    `delta` is what the experiment's own files and the overrides say beyond `experiments/base.yaml`. `blocks` are the
    parts of the file that describe many runs, `sweep` and `ablate`, as they were written.
    """

    name: str
    config: dict[str, Any]
    delta: dict[str, Any]
    places: Mapping[str, Place]
    registry: Registry
    blocks: Mapping[str, Any] = field(default_factory=dict)

    def node(self, path: str) -> Any:
        """The value at a dotted path; the root is the empty path."""
        return reduce(lambda tree, key: tree[key], path.split(".") if path else (), self.config)

    def where(self, path: str) -> str:
        """Where the node was written, for messages: "experiments/x.yaml:14: model.code_head"."""
        return where(self.places, path)


def compose(experiment: str, overrides: Sequence[str] = (), registries: Sequence[Path] = ()) -> Composed:
    """Composes an experiment, given by its name or the path of its file. Nothing is imported or written.

    Raises:
        UserError: it cannot be read; `UserErrors` with every mistake in it that was found.
    """
    path = find_experiment(experiment)
    registry = Registry(registries, homes=[path.parent])
    files = read_experiment(path)
    given = read_overrides(overrides)
    check_texts(given)
    base = (experiments_folder() / "base.yaml").resolve()
    *written, given = migrate([*(layer for _, layer in files), given], registry)
    own = [layer for (file, _), layer in zip(files, written, strict=True) if file != base]
    run, blocks = _parted(_stacked([*written, given]))
    resolved = resolve(run, registry)
    delta = _picked(resolved.values, _parted(_stacked([*own, given]))[0].values)
    return Composed(path.stem, resolved.values, delta, resolved.places, registry, blocks)


def compose_part(slot: str, value: Any, path: str, registry: Registry) -> Composed:
    """A config that holds nothing but a part that no node of the tree names, such as a metric, checked like any other.

    Args:
        slot: of the part.
        value: name of its card, or `{card: name, option: value, ...}`.
        path: dotted path of the part in the config, which stands in messages.
        registry: its cards; a part file is used only if it lies in a folder that the user named.

    Raises:
        UserErrors: every mistake in it that was found.
    """
    node, places = resolve_part(slot, value, path, registry)
    config = reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), node)
    return Composed(path, config, {}, places, registry)


def from_dict(config: Mapping[str, Any], registries: Sequence[Path] = (), name: str = "stored config") -> Composed:
    """A stored config, such as a checkpoint's, checked again against the classes as they are now.

    A part file that it names is used only if it lies in one of `registries`; `name` stands in messages.

    Raises:
        UserErrors: options that the classes no longer take, part files that are not trusted.
    """
    registry = Registry(registries)
    (layer,) = migrate([Layer(dict(config), {"": Place(name, stored=True)})], registry)
    resolved = resolve(layer, registry, stored=True)
    return Composed(name, resolved.values, {}, resolved.places, registry)


def with_overrides(
    config: Mapping[str, Any], overrides: Sequence[str], registries: Sequence[Path] = (), name: str = "stored config"
) -> Composed:
    """A stored config with overrides on top, checked like `from_dict`."""
    registry = Registry(registries)
    given = read_overrides(overrides)
    check_texts(given)
    layers = migrate([Layer(dict(config), {"": Place(name, stored=True)}), given], registry)
    resolved = resolve(_stacked(layers), registry, stored=True)
    return Composed(name, resolved.values, {}, resolved.places, registry)


def _stacked(layers: Sequence[Layer]) -> Layer:
    return reduce(merge, layers, Layer({}, {}))


def _parted(layer: Layer) -> tuple[Layer, dict[str, Any]]:
    """What one run is, and the blocks that describe many."""
    blocks = {name: layer.values[name] for name in BLOCKS if layer.values.get(name) is not None}
    return Layer({key: value for key, value in layer.values.items() if key not in BLOCKS}, layer.places), blocks


def _picked(config: Any, said: Any) -> Any:
    """The resolved values of what was said; a card's name in short stays short."""
    if isinstance(said, dict) and isinstance(config, dict):
        return {key: _picked(config[key], value) for key, value in said.items()}
    return said if isinstance(config, dict) else config
