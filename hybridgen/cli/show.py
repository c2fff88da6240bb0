"""What verbs print about figures: a short table for people, one line each."""

import sys
from collections.abc import Mapping

from hybridgen.evaluation.figure_spec import full_title, in_order
from hybridgen.evaluation.protocol import Figure


def table(figures: Mapping[str, Figure]) -> str:
    """The chief figures, with their intervals; the rest is in summary.json."""
    specs = {name: shown.spec for name, shown in figures.items() if shown.spec is not None}
    chief = in_order(specs)
    titles = {
        name: f"  {specs[name].title}" if specs[name].under in chief else full_title(name, specs) for name in chief
    }
    width = max(map(len, titles.values()), default=0)
    lines = []
    for name, title in titles.items():
        spec, shown = specs[name], figures[name]
        between = "" if shown.interval is None else f"   ({', '.join(map(spec.text, shown.interval))})"
        lines.append(f"  {title:{width}} {spec.text(shown.value):>12}{between}")
    return "\n".join(lines)


def say(text: str) -> None:
    """A word on the way, on stderr: what is printed on stdout is the result."""
    print(text, file=sys.stderr, flush=True)
