"""A trained model named on the command line, with overrides of what needs no training."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybridgen.config.compose import Composed
from hybridgen.config.identity import check_changes
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError

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

    is_file = Path(name).is_file() or Path(name).suffix == ".safetensors"
    file = Path(name) if is_file else Run.open(name, runs).model
    if not is_file and not file.exists():
        raise UserError(f"{file}: this run has no weights yet; finish it with `hybridgen resume {file.parent}`")
    check_changes(overrides, "trained model")
    trained = load(file, registries=registries)
    # how many processes trained it is no reason to start as many here
    here = {key: value for key, value in trained.config.items() if key != "compute"}
    composed = with_overrides(here, overrides, registries, name=str(file))
    trained.config, trained.sampler = composed.config, assemble_sampler(composed)
    trained.model.to(choose(composed.config["device"], "fp32", assemble_settings(composed, "compute")).device)
    return composed, trained
