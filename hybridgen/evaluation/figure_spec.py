"""What is known of a figure by its name: title, format, which way is better, and where it stands in a table.

A metric declares the specifications of its figures, and everything else is measured beside its own. They are stored
with the figures, so tables and pages of old runs need no metric to be installed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

Better = Literal["low", "high", ""]

DISCRETE = "_discrete"  # ends the names of figures of the codes without the residual
_FORMAT = re.compile(r",?(\.\d{1,2})?[fge%]")


@dataclass(frozen=True)
class FigureSpec:
    """The specification of one figure, or of a family of them.

    Args:
        name: key of the figure in summary.json; `accuracy/*` stands for every key that begins with `accuracy/`.
        title: what people read; under another figure, what follows that figure's title. A `*` stands for the rest of
            the key.
        unit: written after the value.
        format: of the value, such as `.3f`, `,.0f` or `.1%`.
        better: which way is better; empty where neither is.
        chief: whether the short table shows it.
        under: name of the figure that it belongs to.
        real: whether it is measured on real samples alone, so that drawn samples do not change it.
    """

    name: str
    title: str
    unit: str = ""
    format: str = ".4g"
    better: Better = ""
    chief: bool = True
    under: str = ""
    real: bool = False

    def __post_init__(self) -> None:
        if not _FORMAT.fullmatch(self.format):
            raise ValueError(f"figure '{self.name}': format '{self.format}'; needed: one such as .3f, ,.0f, .4g or .1%")
        if self.better not in ("low", "high", ""):
            raise ValueError(f"figure '{self.name}': better '{self.better}'; needed: low, high or nothing")

    def text(self, value: float) -> str:
        """A value in this figure's format, with its unit."""
        return f"{value:{self.format}} {self.unit}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return asdict(self)

    @staticmethod
    def from_json(stored: Any) -> "FigureSpec | None":
        """The specification of `to_json`; None for a damaged one, since a figure is not lost for its title."""
        if not isinstance(stored, Mapping):
            return None
        known = {field.name: stored[field.name] for field in fields(FigureSpec) if field.name in stored}
        if not all(isinstance(value, bool if name in ("chief", "real") else str) for name, value in known.items()):
            return None
        try:
            return FigureSpec(**known)
        except (TypeError, ValueError):  # an entry is missing, or not one of those that are possible
            return None


def find_spec(name: str, specs: Iterable[FigureSpec]) -> FigureSpec | None:
    """The specification of a figure: that of its name, else that of its family with the name filled in."""
    known = {spec.name: spec for spec in specs}
    if name in known:
        return known[name]
    family = next(
        (spec for spec in known.values() if spec.name.endswith("*") and name.startswith(spec.name[:-1])), None
    )
    if family is None:
        return None
    return replace(family, name=name, title=family.title.replace("*", name[len(family.name) - 1 :]))


def without_residual(spec: FigureSpec) -> FigureSpec:
    """The specification of the same figure of the codes without the residual."""
    return replace(
        spec,
        name=f"{spec.name}{DISCRETE}",
        title="without the residual",
        under=spec.name,
        chief=spec.chief and not spec.under,
    )


def full_title(name: str, specs: Mapping[str, FigureSpec]) -> str:
    """The titles of a figure and of those above it, "precision, without the residual"; the key where none is known."""
    titles, seen = list[str](), set[str]()
    while name and name not in seen:
        seen.add(name)
        spec = specs.get(name)
        titles.append(name if spec is None else spec.title)
        name = "" if spec is None else spec.under
    return ", ".join(reversed(titles))


def quoted_title(spec: FigureSpec, specs: Iterable[FigureSpec]) -> str:
    """What a protocol calls a figure: the title of the topmost figure, then what its own name adds to that one's."""
    known, top = list(specs), spec
    while top.under and (above := find_spec(top.under, known)) is not None:
        top = above
    begins = spec.name.startswith((f"{top.name}_", f"{top.name}/"))
    return f"{top.title}, {spec.name[len(top.name) + 1 :]}" if begins else spec.title


def is_detail(name: str) -> bool:
    """Whether a figure is about one class, scale or part: `accuracy/Bag`, but not `parameters/total`."""
    return "/" in name and not name.endswith("/total")


def in_order(specs: Mapping[str, FigureSpec]) -> list[str]:
    """Names of the chief figures, each followed by those that belong to it."""
    chief = [name for name, spec in specs.items() if spec.chief]
    below = {name: [other for other in chief if specs[other].under == name] for name in chief}
    first = [name for name in chief if specs[name].under not in below]
    return [name for top in first for name in (top, *below[top])]
