"""Spacing: which of a path's noise levels a draw of few steps visits.

Sources: improved DDPM (arXiv:2102.09672), section 4, for equal spacing and for sections; DDIM (arXiv:2010.02502),
appendix D.2, "linear" selection, for the whole stride.
"""

from dataclasses import dataclass
from typing import Literal

from hybridgen.system.errors import UserError

SpacingKind = Literal["even", "stride"]


@dataclass(frozen=True, kw_only=True)
class Spacing:
    """How steps are spread over a path.

    Args:
        kind: "even": from the lowest level to the highest; "stride": every k-th level from the lowest, with the
            smallest whole k that gives so many steps, so that the highest is not reached.
        sections: steps of each of as many equal parts of the path, lowest noise first; empty: one part.
    """

    kind: SpacingKind = "even"
    sections: tuple[int, ...] = ()

    def counts(self, steps: int) -> tuple[int, ...]:
        """Steps of each section.

        Raises:
            UserError: they do not add up to `steps`, or a stride is to be cut into sections.
        """
        if self.sections and self.kind == "stride":
            raise UserError("sections: a stride has none; use spacing 'even'")
        if self.sections and (sum(self.sections) != steps or min(self.sections) < 1):
            said = " + ".join(map(str, self.sections))
            raise UserError(f"sections: {said} is not {steps}; sections of at least 1 add up to head_steps")
        return self.sections or (steps,)

    def entries(self, levels: int, steps: int) -> list[int]:
        """The levels visited, of 0 (the lowest noise) to levels - 1, rising.

        A section of one step visits its noisiest level; others visit both ends, in between to the nearest, ties to
        even.

        Raises:
            UserError: there are fewer levels than steps, or no whole stride gives so many.
        """
        if steps > levels:
            raise UserError(f"head_steps: {steps} is too many; a path of {levels} noise levels has at most {levels}")
        counts = self.counts(steps)
        if self.kind == "stride":
            return _stride(levels, steps)
        kept: list[int] = []
        for i, count in enumerate(counts):
            size, extra = divmod(levels, len(counts))
            start, top = i * size + min(i, extra), size - 1 + (i < extra)
            if count > top + 1:
                raise UserError(f"sections: {count} is too many for a section of {top + 1} noise levels")
            kept += [start + (top if count == 1 else round(j * top / (count - 1))) for j in range(count)]
        return kept


EVEN = Spacing()


def _stride(levels: int, steps: int) -> list[int]:
    fits = [k for k in range(1, levels + 1) if len(range(0, levels, k)) == steps]
    if not fits:
        possible = {len(range(0, levels, k)) for k in range(1, levels + 1)}
        near = sorted(sorted(possible, key=lambda n: abs(n - steps))[:4])
        raise UserError(
            f"head_steps: no whole stride over {levels} noise levels gives {steps} steps\n"
            f"  nearest: {', '.join(map(str, near))}; or spacing 'even'"
        )
    return list(range(0, levels, fits[0]))
