"""Official weights into one of our models: every name accounted for, everything checked before anything is written.

The experiment gives the architecture, the files give the weights; a tokenizer and a generator may be separate files.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybridgen.assemble import assemble_data, assemble_model, assemble_shell
from hybridgen.config.compose import Composed
from hybridgen.model import HybridModel
from hybridgen.published.families import expected, recognise
from hybridgen.published.keymap import KeyMap, Mapped
from hybridgen.published.reading import locate, read
from hybridgen.published.unwrapping import Found, unwrap
from hybridgen.runs.run import Run
from hybridgen.runs.weights import check_finite, describe, save
from hybridgen.system.errors import UserError

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Taken:
    """What became of one set of official weights.

    Args:
        file: where it lay.
        place: inside the file; empty at the top.
        beside: what lay beside it and was not read.
        family: whose names it has.
        parts: of our model that it fills.
        parameters: numbers taken.
        used: official name -> our name.
        ignored: official name -> reason.
        tensors: our name -> tensor.
    """

    file: Path
    place: str
    beside: tuple[str, ...]
    family: str
    parts: tuple[str, ...]
    parameters: int
    used: dict[str, str]
    ignored: dict[str, str]
    tensors: dict[str, Tensor] = field(repr=False)

    @property
    def reasons(self) -> dict[str, int]:
        """Why names were ignored, and how many for each reason."""
        return dict(Counter(self.ignored.values()))


def match(composed: Composed, files: Sequence[str], whole: bool = True) -> list[Taken]:
    """Every set of weights in the files, by our names; nothing is written.

    Args:
        composed: the experiment.
        files: as `locate` takes them.
        whole: every parameter of the model must get its weight, not just those of the parts that the files are of.

    Raises:
        UserError: a file is damaged or refused, is of another family, lacks names or has other shapes; or a part of
            the model gets no weights at all.
    """
    model = assemble_shell(composed, assemble_data(composed).spec)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    taken: list[Taken] = []
    for path in (path for name in files for path in locate(name)):
        found = unwrap(read(path))
        if not found:
            raise UserError(f"{path}: no weights in it: no tensors by name where trainers put them")
        taken += [_placed(path, inner, wanted) for inner in found]
    _check_once(taken)
    if whole:
        _check_whole(taken, model)
    return taken


def filled(composed: Composed, taken: Sequence[Taken]) -> HybridModel:
    """The model with these weights, ready to sample."""
    with torch.random.fork_rng(devices=[]):  # building draws weights that are then replaced
        model = assemble_model(composed, assemble_data(composed).spec)
    model.load_state_dict({name: value for one in taken for name, value in one.tensors.items()}, strict=False)
    return model.eval()


def write(composed: Composed, taken: Sequence[Taken], out: Path | None = None, **about: Any) -> Run:
    """A run folder with the weights in it, as training would leave one.

    Args:
        composed: the experiment.
        taken: what `match` gave.
        out: the folder; None: a new one under `runs`, named by experiment and time.
        about: what else the weights file should say of itself.

    Raises:
        UserError: the folder is taken.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: something is there already; name a new folder")
    model, data = filled(composed, taken), assemble_data(composed).spec
    if out is None:
        run = Run.create(Path(composed.config["runs"]), composed.name, composed.config, composed.delta)
    else:
        run = Run.at(out, composed.config, composed.delta)
    sources = [{"file": one.file.name, "sha256": _digest(one.file), "place": one.place} for one in taken]
    save(run.model, model, describe("generator", composed.config, data, imported=sources, **about))
    run.finish()
    return run


def _placed(path: Path, found: Found, wanted: Shapes) -> Taken:
    """One set of weights, checked name by name."""
    where = f"{path}: {found.place}" if found.place else str(path)
    known = recognise(found.tensors)
    needed = " or ".join(expected([*wanted])) or "no known family"
    if known is None:
        first = ", ".join(sorted(found.tensors)[:3])
        raise UserError(f"{where}: no key matches the expected family ({needed}); it begins with {first}")
    family, named = known
    named = {name: value.float() if value.is_floating_point() else value for name, value in named.items()}
    try:
        mapped = family.apply(named)
    except (RuntimeError, ValueError, IndexError) as error:
        raise UserError(
            f"{where}: a tensor of {family.family} has not the shape that its name promises: {error}"
        ) from None
    check_finite(where, {name: named[name] for name in mapped.used})
    _check_names(where, family, mapped, wanted, needed)
    _check_shapes(where, family, mapped, wanted)
    ignored = mapped.ignored | dict.fromkeys(mapped.unknown, "not known to the key map")
    return Taken(
        path, found.place, found.beside, family.family, _parts(mapped.tensors),
        sum(named[name].numel() for name in mapped.used), mapped.used, ignored, mapped.tensors,
    )  # fmt: skip


def _check_names(where: str, family: KeyMap, mapped: Mapped, wanted: Shapes, needed: str) -> None:
    """The family's weights have their places in the model, and none of those places stays empty."""
    official = {ours: name for name, ours in mapped.used.items()}
    homeless = [official.get(ours, ours) for ours in mapped.tensors if ours not in wanted]
    if 2 * len(homeless) > len(mapped.tensors):  # a table of classes may fit by chance
        raise UserError(
            f"{where}: no key matches the expected family ({needed}); these are the keys of {family.family}"
        )
    if homeless:
        raise UserError(f"{where}: the model has no place for {_some(homeless)}; is the experiment of this size?")
    absent = [n for ours in wanted.keys() - mapped.tensors.keys() for n in family.official(ours)]
    if missing := sorted({*absent, *mapped.missing} - mapped.used.keys()):
        raise UserError(f"{where}: missing: {_some(missing)}")


def _check_shapes(where: str, family: KeyMap, mapped: Mapped, wanted: Shapes) -> None:
    wrong = [
        f"{' + '.join(family.official(ours))}: expected {wanted[ours]}, found {tuple(value.shape)}"
        for ours, value in mapped.tensors.items()
        if tuple(value.shape) != wanted[ours]
    ]
    if wrong:
        raise UserError(f"{where}: another shape: " + "\n  ".join(wrong[:12]))


def _check_once(taken: Sequence[Taken]) -> None:
    """No tensor has two sources."""
    given: dict[str, Path] = {}
    for one in taken:
        if twice := given.keys() & one.tensors.keys():
            raise UserError(f"{given[min(twice)]} and {one.file} both hold {', '.join(one.parts)}; name one of them")
        given |= dict.fromkeys(one.tensors, one.file)


def _check_whole(taken: Sequence[Taken], model: HybridModel) -> None:
    """Every parameter has a source."""
    given = {name for one in taken for name in one.tensors}
    left = [name for name, _ in model.named_parameters() if name not in given]
    if left:
        raise UserError(
            f"no weights for {', '.join(_parts(left))}: {_some(left)}\n"
            f"  name a file with weights of {' or '.join(expected(left)) or 'its family'} too; "
            "`hybridgen import --list` says where official files are"
        )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
