"""Samples of the same seeds, one row for each entry: drawn anew by its own model with its own sampler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Shaped
from torch import Tensor

from hybridgen.comparison.entries import Entry, label
from hybridgen.generate.trained import Trained, load
from hybridgen.generate.write import requested
from hybridgen.media.base import Medium, Sheet
from hybridgen.media.embed import sheet_in
from hybridgen.runs.run import Run
from hybridgen.runs.weights import model_hash
from hybridgen.system.errors import UserError
from hybridgen.training.machine import choose


@dataclass(frozen=True)
class Row:
    """The samples of an entry, drawn by its first run; `file` is a sheet from its folder where it cannot draw."""

    name: str
    stored: Shaped[Tensor, "N X *size"] | None
    medium: Medium | None = None
    classes: tuple[str, ...] = ()
    about: str = ""  # why there are no samples, or which run drew them
    model: str | None = None
    file: Path | None = None

    def html(self) -> str:
        """All in one line, under their classes."""
        assert self.stored is not None and self.medium is not None, "the row has samples"
        return self.medium.sheet(self.stored, {}, columns=len(self.stored), column_titles=self.classes).html


def draw_rows(
    entries: Sequence[Entry], count: int, seed: int, registries: Sequence[Path], say: Callable[[str], None]
) -> list[Row]:
    """`count` samples of each entry, of seeds `seed`, `seed` + 1, …, in all classes in turn."""
    rows = []
    for entry in entries:
        say(f"drawing {count} samples of {entry.name}")
        rows.append(_row(entry, count, seed, registries))
    return rows


def rows_sheet(rows: Sequence[Row], seed: int) -> Sheet | None:
    """All rows on one sheet with their making inside; None where samples of different kinds make none."""
    drawn = [row for row in rows if row.stored is not None]
    stored = [row.stored for row in drawn if row.stored is not None]
    if not drawn or len({each.shape for each in stored}) > 1 or len({row.medium for row in drawn}) > 1:
        return None
    classes = {row.classes for row in drawn}
    titles = next(iter(classes)) if len(classes) == 1 else ()
    about = {"models": [row.model for row in drawn], "seeds": [seed, seed + len(stored[0]) - 1]}
    medium = drawn[0].medium
    assert medium is not None, "a row with samples has a medium"
    names = [row.name for row in drawn]
    return medium.sheet(torch.cat(stored), about, columns=len(stored[0]), column_titles=titles, row_titles=names)


def _row(entry: Entry, count: int, seed: int, registries: Sequence[Path]) -> Row:
    run = entry.runs[0]
    try:
        trained = _opened(run, registries)
    except UserError as error:
        return Row(entry.name, None, about=str(error).splitlines()[0], file=sheet_in(run.path, "samples"))
    asked = trained.asked(count=count)
    stored = trained.medium.store(trained.sample(**requested(asked), seed=seed))
    known = trained.data.classes
    classes = (
        tuple(known[each] if isinstance(each, int) else each for each in asked) if known or trained.reads_text else ()
    )
    said = f"drawn by {label(run)}" if len(entry.runs) > 1 else ""
    return Row(entry.name, stored, trained.medium, classes, said, model_hash(run.model))


def _opened(run: Run, registries: Sequence[Path]) -> Trained:
    if not run.model.exists():
        raise UserError(f"{label(run)} has no weights yet: it is {run.status}")
    trained = load(run.model, registries=registries)
    trained.model.to(choose(trained.config["device"], "fp32").device)
    return trained
