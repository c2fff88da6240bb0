"""What verbs print about figures: a short table for people, one line each."""

import sys
from collections.abc import Iterable, Mapping

from hybridgen.evaluation.protocol import Figure

_NAMES = {
    "psnr_discrete": ("PSNR, codes alone", "{:.2f} dB"),
    "psnr_residual": ("PSNR, with residual", "{:.2f} dB"),
    "residual_share": ("variance left to the residual", "{:.1%}"),
    "frechet": ("Fréchet distance (judge)", "{:.3f}"),
    "frechet_discrete": ("  without the residual", "{:.3f}"),
    "frechet_floor": ("  real against real", "{:.3f}"),
    "frechet_bias": ("  predicted small-sample bias", "{:.3f}"),
    "fid": ("FID", "{:.2f}"),
    "kid": ("kernel distance (judge)", "{:.4f}"),
    "kid_discrete": ("  without the residual", "{:.4f}"),
    "accuracy": ("accuracy by the judge", "{:.3f}"),
    "accuracy_discrete": ("  without the residual", "{:.3f}"),
    "accuracy_real": ("  of real pictures", "{:.3f}"),
    "precision": ("precision", "{:.3f}"),
    "recall": ("recall", "{:.3f}"),
    "recall_discrete": ("  without the residual", "{:.3f}"),
    "nearest": ("nearest training picture", "{:.1f}"),
    "nearest_real": ("  of real pictures", "{:.1f}"),
    "parameters/total": ("parameters", "{:,.0f}"),
    "macs": ("multiply-accumulates a picture", "{:,.0f}"),
    "seconds_per_sample": ("seconds a picture", "{:.4f}"),
    "seconds_total": ("seconds in all", "{:.0f}"),
}


def table(figures: Mapping[str, Figure]) -> str:
    """The figures that are there, with their intervals; the rest is in summary.json."""
    lines = []
    for name, (title, form) in _NAMES.items():
        if name in figures:
            shown = figures[name]
            between = "" if shown.interval is None else f"   ({', '.join(form.format(v) for v in shown.interval)})"
            lines.append(f"  {title:34} {form.format(shown.value):>12}{between}")
    return "\n".join(lines)


def chief(names: Iterable[str]) -> list[str]:
    """Those of the names that `table` shows, in its order."""
    there = set(names)
    return [name for name in _NAMES if name in there]


def say(text: str) -> None:
    """A word on the way, on stderr: what is printed on stdout is the result."""
    print(text, file=sys.stderr, flush=True)
