"""Samples of a trained model as files, each with its making inside; also a given sample completed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hybridgen.generate.requests import check_kind, class_numbers
from hybridgen.generate.trained import Trained
from hybridgen.media.base import read_bytes
from hybridgen.model import Given
from hybridgen.nn.resize import shrink
from hybridgen.runs.weights import model_hash
from hybridgen.system import distributed
from hybridgen.system.errors import UserError


def draw_files(
    trained: Trained, labels: str | None, count: int | None, seed: int, out: Path,
    given: Path | None = None, mask: Path | None = None, prompts: Sequence[str] | None = None,
) -> list[Path]:  # fmt: skip
    """Draws and writes `seed_000000` … and a sheet, `grid`; the paths written.

    Processes that share a run draw together.

    Raises:
        UserError: an unknown class, or a prompt where a class is needed; a sample without a mask or a mask without a
            sample, one that cannot be read.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: a file stands there; name a folder")
    check_kind(trained.model.conditioner, None if labels is None else [0], prompts)
    classes = trained.data.classes
    named = None if labels is None else class_numbers(labels, classes)
    chosen = trained.asked(named, prompts, count)
    start = read_given(trained, given, mask, len(chosen)) if given is not None or mask is not None else None
    batch = 250 if start is None else len(chosen)

    def draw(cut: slice) -> torch.Tensor:
        drawn = trained.sample(**requested(chosen[cut]), seed=seed + cut.start, given=start, batch=batch)
        return medium.store(drawn)

    shape, medium = (trained.data.channels, *trained.data.size), trained.medium
    stored = distributed.map_over_ranks(len(chosen), batch, draw, shape, medium.dtype)
    if not distributed.is_first():
        return []
    about = {"model": model_hash(trained.path), "sampler": trained.config["sampler"], "given": given and str(given)}
    files = []
    for i, sample in enumerate(stored):
        files.append(out / f"seed_{seed + i:06d}{medium.suffix}")
        medium.write(files[-1], sample, {**about, "seed": seed + i, **_said(chosen[i], trained)})
    sheet = medium.sheet(stored, {**about, "seeds": [seed, seed + len(stored) - 1]})
    return [*files, sheet.save(out / "grid")]


def read_given(trained: Trained, sample: Path | None, mask: Path | None, count: int) -> Given:
    """The sample's tokens, repeated, and where they are kept: a position of the latent whose mask keeps all of it.

    Raises:
        UserError: one of the two is missing or cannot be read, or the mask keeps nothing.
    """
    unit, medium = trained.medium.unit, trained.medium
    if mask is None:
        raise UserError(f"--given needs --mask: an {unit} that is white where the given one is kept")
    if sample is None:
        raise UserError(f"--mask needs --given: the {unit} that is kept where the mask is white")
    x = medium.restore(medium.read(sample))
    white = medium.decode_mask(read_bytes(mask), str(mask))
    spec = trained.model.tokenizer.spec
    with torch.no_grad():
        tokens = trained.model.tokenizer.encode(x[None].repeat(count, *[1] * x.dim()).to(trained.device))
    known = (shrink(white[None], spec.grid) > 0.999).float()  # the area mean of all ones, up to rounding
    if not known.any():
        grid = "x".join(map(str, spec.grid))
        raise UserError(f"--mask {mask}: keeps nothing: no cell of the {unit}'s {grid} is white all over")
    return Given(tokens, known.repeat(count, *[1] * white.dim()).to(trained.device))


def requested(requests: list[int] | list[str]) -> dict[str, Any]:
    """Classes or prompts as an argument of `Trained.sample`."""
    return {"prompts" if isinstance(requests[0], str) else "labels": requests}


def _said(request: int | str, trained: Trained) -> dict[str, Any]:
    """What a sample says of what it was asked to be."""
    if isinstance(request, int):
        return {"label": request, "class": trained.data.classes[request] if trained.data.classes else None}
    encoder = trained.text_encoder
    by = {} if encoder is None else {"text_encoder": encoder.name, "system_prompt": encoder.system}
    return {"prompt": request, **by}
