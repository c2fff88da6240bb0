"""A trained model named on the command line, with overrides of what needs no training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.config.compose import Composed
from hybridgen.config.identity import may_change
from hybridgen.config.resolve import elsewhere
from hybridgen.runs.run import find_weights
from hybridgen.system.errors import UserError, unknown

if TYPE_CHECKING:
    from hybridgen.generate.trained import Trained


def open_model(
    name: str, overrides: Sequence[str], runs: Path, registries: Sequence[Path]
) -> "tuple[Composed, Trained]":
    """The model and its config with the overrides applied.

    Raises:
        UserError: no such model, or an override of something that was trained.
    """
    from hybridgen.assemble import assemble_sampler, assemble_settings
    from hybridgen.config.compose import with_overrides
    from hybridgen.generate.trained import load
    from hybridgen.training.machine import choose

    file = find_weights(name, runs)
    trained = load(file, registries=registries)
    check_keys(overrides, may_change("trained model"), "trained model, what may change", trained.config)
    # how many processes trained it is no reason to start as many here
    here = {key: value for key, value in trained.config.items() if key != "compute"}
    composed = with_overrides(here, overrides, registries, name=str(file))
    trained.config, trained.sampler = composed.config, assemble_sampler(composed)
    trained.model.to(choose(composed.config["device"], "fp32", assemble_settings(composed, "compute")).device)
    return composed, trained


def check_keys(overrides: Sequence[str], free: Sequence[str], where: str, config: Mapping[str, Any]) -> None:
    """Refuses an override of another node than those in `free`; the message says where a key of that name lies.

    Raises:
        UserError: there is one.
    """
    for override in overrides:
        key = override.partition("=")[0]
        if key.partition(".")[0] not in free:
            near = elsewhere(key, {name: node for name, node in config.items() if name in free})
            raise UserError(unknown("key", key, free, where) + near)
