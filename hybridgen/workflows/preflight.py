"""What an experiment will need, looked for before anything is written or drawn: data, judges, earlier weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hybridgen.assemble import assemble_data, assemble_settings, assemble_shell
from hybridgen.config.compose import Composed
from hybridgen.data.base import SPLITS, Data
from hybridgen.evaluation.evaluate import check_metrics
from hybridgen.evaluation.settings import Metrics
from hybridgen.system.errors import UserError, UserErrors
from hybridgen.system.files import check_writable
from hybridgen.training.compute import Compute
from hybridgen.training.machine import choose
from hybridgen.training.start import find_init
from hybridgen.types import DataSpec
from hybridgen.workflows.dry_run import in_own_words


def check_ready(composed: Composed, trained_on: DataSpec | None = None) -> list[str]:
    """Looks for everything; reads the data. Returns sentences about what will be left out.

    Args:
        composed: the experiment.
        trained_on: what the data must look like, when a trained model is to be judged on them.

    Raises:
        UserErrors: all that is missing or does not serve.
    """
    data, settings = assemble_data(composed), assemble_settings(composed, "metrics")
    compute = assemble_settings(composed, "compute")
    notes: list[str] = []
    looks: list[Callable[[], object]] = [
        lambda: choose(composed.config["device"], composed.config["precision"]),
        lambda: None if trained_on else check_writable(Path(composed.config["runs"]), "runs"),
        lambda: _all_splits(data),
        lambda: None if trained_on else _columns(composed, data),
        lambda: _same_kind(data.spec, trained_on or data.spec),
        lambda: notes.extend(check_metrics(data, settings, composed.registry)),
        lambda: _networks(settings),
        lambda: None if trained_on else _equal_shares(composed, compute),
    ]
    missing: list[str] = []
    for look in looks:
        try:
            look()
        except UserError as error:
            missing.append(str(error))
    if missing:
        raise UserErrors(missing)
    return notes


def with_init(composed: Composed) -> Composed:
    """The experiment with `init` as the path of a file, which means the same from everywhere and tomorrow."""
    init = composed.config["init"]
    if init is None:
        return composed
    return replace(composed, config=composed.config | {"init": str(find_init(init, Path(composed.config["runs"])))})


def _all_splits(data: Data) -> None:
    for split in SPLITS:
        if not len(data.split(split)):
            raise UserError(f"data: the {split} split is empty")


def _columns(composed: Composed, data: Data) -> None:
    """What the conditioner reads must be there."""
    with in_own_words(composed):
        conditioner = assemble_shell(composed, data.spec).conditioner
    known = data.split("train").columns
    for name in conditioner.reads:
        if name not in known:
            raise UserError(
                f"model.conditioner: {composed.node('model.conditioner')['card']} reads the column '{name}', and these"
                f" data have none\n  they have: {', '.join(known) or 'samples alone'}"
                + ("\n  captions stand in FILE.txt beside each file, or in metadata.jsonl" if name == "text" else "")
            )


def _equal_shares(composed: Composed, compute: Compute) -> None:
    """Every process takes as many examples of a batch as every other, or means of their means would be no means."""
    for stage in ("tokenizer", "generator"):
        settings = assemble_settings(composed, f"train.{stage}")
        if settings is not None and settings.batch // settings.accumulate % compute.world:
            raise UserError(
                f"compute: {compute.world} processes cannot share train.{stage}.batch={settings.batch}"
                f" (accumulate={settings.accumulate}) equally"
            )


def _same_kind(spec: DataSpec, trained_on: DataSpec) -> None:
    if (spec.channels, spec.size, len(spec.classes)) != (trained_on.channels, trained_on.size, len(trained_on.classes)):
        raise UserError(f"data: {_shown(spec)}, but the model was trained on {_shown(trained_on)}")


def _shown(spec: DataSpec) -> str:
    return f"{spec.channels} x {'x'.join(map(str, spec.size))} in {len(spec.classes)} classes"


def _networks(settings: Metrics) -> None:
    if settings.lpips is not None:
        from hybridgen.evaluation.perceptual import Perceptual  # late: importing lpips takes seconds

        Perceptual(settings.lpips)
