"""What every medium promises, as functions of a medium: `for law in MEDIUM_LAWS: law(medium)`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.nn.draws import keyed
from hybridgen.system.errors import UserError

_ABOUT = {"seed": 3, "prompt": "a tree, ätsch <b>&", "sampler": {"guidance": 1.5, "steps": None}}


def spec_is_the_mediums(medium: Medium) -> None:
    """The data specification names the medium, and the same medium can be made of it."""
    spec = medium.spec(["a", "b"])
    assert (spec.medium, spec.channels, spec.size, spec.rates) == (
        medium.name,
        medium.channels,
        medium.grid,
        medium.rates,
    )
    again = type(medium).of(spec)
    assert (again.channels, again.grid, again.rates) == (medium.channels, medium.grid, medium.rates)


def stored_is_kept(medium: Medium) -> None:
    """What is stored is restored within [-1, 1] and stored again as it was; values beyond are clipped."""
    stored = _samples(medium)
    restored = medium.restore(stored)
    assert stored.dtype == medium.dtype
    assert restored.dtype == torch.float32
    assert float(restored.abs().max()) <= 1
    assert torch.equal(medium.store(restored), stored)
    ramp = torch.linspace(-2, 2, 101)
    assert torch.equal(medium.store(ramp), medium.store(ramp.clamp(-1, 1)))
    assert bool((medium.restore(medium.store(ramp)).diff() >= 0).all())


def rounding_is_half_a_step(medium: Medium) -> None:
    """Storing moves a value by at most half of the distance between neighbouring stored values."""
    x = torch.linspace(-1, 1, 1001)
    distance = (medium.restore(medium.store(x)) - x).abs().max()
    assert float(distance) <= 1 / medium.span + 1e-6, float(distance)  # [-1, 1] is 2 long


def written_is_read(medium: Medium) -> None:
    """A written sample is read to the bit; its bytes depend on nothing else; its file has the medium's ending."""
    stored = _samples(medium)[0]
    assert medium.encode(stored, _ABOUT) == medium.encode(stored.clone(), _ABOUT)
    with _folder() as folder:
        path = folder / f"sample{medium.suffix}"
        medium.write(path, stored, _ABOUT)
        assert medium.reads(path)
        assert not medium.reads(path.with_suffix(".txt"))
        assert torch.equal(medium.read(path), stored)


def provenance_survives(medium: Medium) -> None:
    """What a file says of its making is what it was told, and a sheet says it too."""
    stored = _samples(medium)
    with _folder() as folder:
        path = folder / f"sample{medium.suffix}"
        medium.write(path, stored[0], _ABOUT)
        sheet = medium.sheet(stored, _ABOUT).save(folder / "sheet")
        for file in (path, sheet):
            told = medium.provenance(file)
            assert {name: told.get(name) for name in _ABOUT} == _ABOUT, told


def mirrors_give_samples(medium: Medium) -> None:
    """Mirroring along a declared axis gives what can be stored, written and read, and twice is once."""
    restored = medium.restore(_samples(medium))
    for axis in medium.mirrors:
        assert -len(medium.grid) <= axis < 0, "axes are those of the grid, counted from the end"
        mirrored = restored.flip(axis)
        assert torch.equal(medium.store(mirrored.flip(axis)), medium.store(restored))
        assert torch.equal(medium.decode(medium.encode(medium.store(mirrored)[0], {}), "x"), medium.store(mirrored)[0])


def damage_is_told(medium: Medium) -> None:
    """Bytes that are no sample, and a file cut short, are errors that name the place."""
    content = medium.encode(_samples(medium)[0], {})
    for damaged in (b"", b"no sample of anything", content[: len(content) // 2]):
        try:
            medium.decode(damaged, "the place")
        except UserError as error:
            assert "the place" in str(error)
        else:
            raise AssertionError(f"{len(damaged)} bytes of {len(content)} were accepted")


def samples_are_shown(medium: Medium) -> None:
    """One sample, and a sheet of several with titles, are HTML elements that need no other file and hide no markup."""
    stored = _samples(medium)
    sheet = medium.sheet(stored, {}, columns=2, column_titles=["<i>a", "b"], row_titles=["c", "d"])
    for shown in (medium.show(stored[0], "<i>title"), sheet.html):
        assert "<i>" not in shown
        assert "src=http" not in shown.replace('"', "")
    assert sheet.content


def _samples(medium: Medium, count: int = 4) -> Tensor:
    """Stored samples of noise."""
    noise = torch.rand(count, medium.channels, *medium.grid, generator=keyed("media")) * 2 - 1
    return medium.store(noise)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


MEDIUM_LAWS: tuple[Callable[[Medium], None], ...] = (
    spec_is_the_mediums, stored_is_kept, rounding_is_half_a_step, written_is_read, provenance_survives,
    mirrors_give_samples, damage_is_told, samples_are_shown,
)  # fmt: skip
