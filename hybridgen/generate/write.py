"""Pictures of a trained model as files, each with its making inside; also a given picture completed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hybridgen.generate.requests import check_kind, class_numbers
from hybridgen.generate.trained import Trained
from hybridgen.media.image import to_bytes, to_unit
from hybridgen.media.image_grid import picture_grid
from hybridgen.media.image_read import as_tensor, fitted, read_picture
from hybridgen.media.provenance import model_hash, save_picture
from hybridgen.model import Given
from hybridgen.nn.resize import shrink
from hybridgen.system import distributed
from hybridgen.system.errors import UserError


def draw_files(
    trained: Trained, labels: str | None, count: int | None, seed: int, out: Path,
    given: Path | None = None, mask: Path | None = None, prompts: Sequence[str] | None = None,
) -> list[Path]:  # fmt: skip
    """Draws and writes `seed_000000.png` … and `grid.png`; the paths written. Processes that share a run draw together.

    Raises:
        UserError: an unknown class, or a prompt where a class is needed; a picture without a mask or a mask without a
            picture, one that cannot be read.
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
        return to_bytes(trained.sample(**requested(chosen[cut]), seed=seed + cut.start, given=start, batch=batch))

    pixels = distributed.map_over_ranks(len(chosen), batch, draw, (trained.data.channels, *trained.data.size)).numpy()
    if not distributed.is_first():
        return []
    about = {"model": model_hash(trained.path), "sampler": trained.config["sampler"], "given": given and str(given)}
    files = []
    for i, picture in enumerate(pixels):
        files.append(out / f"seed_{seed + i:06d}.png")
        save_picture(files[-1], picture, {**about, "seed": seed + i, **_said(chosen[i], trained)})
    files.append(out / "grid.png")
    save_picture(files[-1], picture_grid(pixels), {**about, "seeds": [seed, seed + len(pixels) - 1]})
    return files


def read_given(trained: Trained, picture: Path | None, mask: Path | None, count: int) -> Given:
    """The picture's tokens, repeated, and where they are kept: a position of the latent whose mask is white all over.

    Raises:
        UserError: one of the two is missing or cannot be read, or the mask keeps nothing.
    """
    if mask is None:
        raise UserError("--given needs --mask: a picture that is white where the given one is kept")
    if picture is None:
        raise UserError("--mask needs --given: the picture that is kept where the mask is white")
    channels, size = trained.data.channels, trained.data.size
    x = to_unit(as_tensor(fitted(read_picture(picture, channels), size[-1])))
    white = (as_tensor(fitted(read_picture(mask, 1), size[-1])).float() > 127).float()
    spec = trained.model.tokenizer.spec
    with torch.no_grad():
        tokens = trained.model.tokenizer.encode(x[None].repeat(count, *[1] * x.dim()).to(trained.device))
    known = (shrink(white[None], spec.grid) > 0.999).float()  # the area mean of all ones, up to rounding
    if not known.any():
        grid = "x".join(map(str, spec.grid))
        raise UserError(f"--mask {mask}: keeps nothing: no cell of the picture's {grid} is white all over")
    return Given(tokens, known.repeat(count, *[1] * white.dim()).to(trained.device))


def requested(requests: list[int] | list[str]) -> dict[str, Any]:
    """Classes or prompts as an argument of `Trained.sample`."""
    return {"prompts" if isinstance(requests[0], str) else "labels": requests}


def _said(request: int | str, trained: Trained) -> dict[str, Any]:
    """What a picture says of what it was asked to be."""
    if isinstance(request, int):
        return {"label": request, "class": trained.data.classes[request] if trained.data.classes else None}
    encoder = trained.text_encoder
    assert encoder is not None, "a prompt was encoded"
    return {"prompt": request, "text_encoder": encoder.name, "system_prompt": encoder.system}
