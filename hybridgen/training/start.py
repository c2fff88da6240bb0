"""How a generator begins: from an earlier run's weights, and with parts that stay as they are."""

from collections.abc import Sequence
from pathlib import Path

from hybridgen.model import HybridModel
from hybridgen.runs.run import find_weights
from hybridgen.runs.weights import read_about, read_weights
from hybridgen.system.errors import UserError, unknown

PARTS = ("conditioner", "backbone", "code_head", "residual_head", "join")


def find_init(name: str, runs: Path) -> Path:
    """The weights file that `init` names: a file, a run folder, or a run by its name.

    Raises:
        UserError: there is none, or it does not hold a generator.
    """
    try:
        file = find_weights(name, runs)
        kind = read_about(file).get("kind")
    except UserError as error:
        raise UserError(f"init: {error}") from None
    if kind != "generator":
        raise UserError(f"init: {file} holds a {kind}, not a generator")
    return file.resolve()


def begin_from(file: Path, model: HybridModel) -> list[str]:
    """Takes the weights of an earlier run, all but the tokenizer's.

    Returns the names of those that it lacks, or has in other shapes: they begin anew.

    Raises:
        UserError: not one weight fits.
    """
    fresh, count = [], 0
    for name in PARTS:
        part = getattr(model, name)
        if part is not None:
            count += len(part.state_dict())
            fresh += [f"{name}.{weight}" for weight in read_weights(file, part, f"{name}.", missing="skip")]
    if len(fresh) == count:
        raise UserError(f"init: {file} has no weights that fit this model")
    return fresh


def freeze(names: Sequence[str], model: HybridModel) -> None:
    """Keeps these parts, such as model.backbone, from being trained.

    Raises:
        UserError: the model has no such part, or nothing would be left to train.
    """
    parts = {f"model.{name}": getattr(model, name) for name in PARTS if getattr(model, name) is not None}
    for name in names:
        if name not in parts:
            raise UserError(unknown("part", name, parts, "freeze"))
        parts[name].requires_grad_(False)
    if not any(weight.requires_grad for part in parts.values() for weight in part.parameters()):
        raise UserError(f"freeze: nothing is left to train\n  frozen: {', '.join(names)}")
