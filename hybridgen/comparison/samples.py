"""Pictures of the same seeds, one row an entry: each drawn anew by its own model with its own sampler."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from hybridgen.comparison.entries import Entry, label
from hybridgen.evaluation.drawing import balanced_labels
from hybridgen.generate.trained import Trained, load
from hybridgen.media.image import to_bytes
from hybridgen.media.image_grid import picture_grid
from hybridgen.media.provenance import model_hash, save_picture
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.training.machine import choose


@dataclass(frozen=True)
class Row:
    """The pictures of an entry, drawn by its first run; `stored` is a grid from its folder where it cannot draw."""

    name: str
    pixels: UInt8[np.ndarray, "N X H W"] | None
    classes: tuple[str, ...] = ()
    about: str = ""  # why there are no pictures, or which run drew them
    model: str | None = None
    stored: Path | None = None

    def strip(self) -> Image.Image | None:
        """All in one line, under their classes."""
        return None if self.pixels is None else picture_grid(self.pixels, len(self.pixels), column_titles=self.classes)


def draw_rows(
    entries: Sequence[Entry], count: int, seed: int, registries: Sequence[Path], say: Callable[[str], None]
) -> list[Row]:
    """`count` pictures an entry, of seeds `seed`, `seed` + 1, …, in all classes in turn."""
    rows = []
    for entry in entries:
        say(f"drawing {count} pictures of {entry.name}")
        rows.append(_row(entry, count, seed, registries))
    return rows


def save_rows(rows: Sequence[Row], seed: int, path: Path) -> bool:
    """All rows in one picture with their making inside; False when pictures of different shapes do not make one."""
    drawn = [row for row in rows if row.pixels is not None]
    pixels = [row.pixels for row in drawn if row.pixels is not None]
    if not drawn or len({each.shape for each in pixels}) > 1:
        return False
    classes = {row.classes for row in drawn}
    titles = next(iter(classes)) if len(classes) == 1 else ()
    grid = picture_grid(
        np.concatenate(pixels), len(pixels[0]), column_titles=titles, row_titles=[row.name for row in drawn]
    )
    about = {"models": [row.model for row in drawn], "seeds": [seed, seed + len(pixels[0]) - 1]}
    save_picture(path, grid, about)
    return True


def _row(entry: Entry, count: int, seed: int, registries: Sequence[Path]) -> Row:
    run = entry.runs[0]
    try:
        trained = _opened(run, registries)
    except UserError as error:
        stored = run.path / "samples.png"
        return Row(entry.name, None, about=str(error).splitlines()[0], stored=stored if stored.exists() else None)
    labels = balanced_labels(count, len(trained.data.classes))
    pixels = to_bytes(trained.sample(labels, seed=seed)).numpy()
    classes = tuple(trained.data.classes[i] for i in labels) if trained.data.classes else ()
    said = f"drawn by {label(run)}" if len(entry.runs) > 1 else ""
    return Row(entry.name, pixels, classes, said, model_hash(run.model))


def _opened(run: Run, registries: Sequence[Path]) -> Trained:
    if not run.model.exists():
        raise UserError(f"{label(run)} has no weights yet: it is {run.status}")
    trained = load(run.model, registries=registries)
    trained.model.to(choose(trained.config["device"], "fp32").device)
    return trained
