"""How well a tokenizer reconstructs samples: from the codes alone, and with the residual."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Shaped
from torch import Tensor

from hybridgen.evaluation.figure_spec import FigureSpec, find_spec
from hybridgen.evaluation.perceptual import Perceptual
from hybridgen.evaluation.protocol import SAID, Figure, figure, missing_fields, rounding
from hybridgen.evaluation.psnr import psnr
from hybridgen.media.base import Medium

FIGURES = (
    FigureSpec("psnr_discrete", "PSNR, codes alone", unit="dB", format=".2f", better="high"),
    FigureSpec("psnr_residual", "PSNR, with residual", unit="dB", format=".2f", better="high"),
    FigureSpec("lpips_discrete", "LPIPS, codes alone", format=".3f", better="low", chief=False),
    FigureSpec("lpips_residual", "LPIPS, with residual", format=".3f", better="low", chief=False),
    FigureSpec("residual_share", "variance left to the residual", format=".1%"),
    FigureSpec("perplexity/*", "perplexity of the codes, scale *", format=".1f", chief=False),
)


def evaluate_reconstruction(
    x: Shaped[Tensor, "N X *size"],
    discrete: Shaped[Tensor, "N X *size"] | None,
    full: Shaped[Tensor, "N X *size"],
    medium: Medium,
    protocol: Mapping[str, Any],
    *,
    measured: Mapping[str, float] | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Figure]:
    """Figures of a tokenizer on stored samples.

    `psnr_residual` compares with `full`, `psnr_discrete` with `discrete` (None: no codes); with `perceptual`
    `lpips_residual` and `lpips_discrete` too. `measured` are figures that the tokenizer knows itself, such as
    `residual_share` or `perplexity/0`; they get the same protocol.

    `protocol` says: data, model, weights, precision, device, split, data_hash.
    """
    base = {"kind": "reconstructed", **protocol, "count": len(x), "rounding": rounding(medium)}
    if missing := missing_fields(base, SAID):
        raise ValueError(f"the protocol of a reconstruction lacks {', '.join(missing)}")
    figures = {}
    for name, given in (("discrete", discrete), ("residual", full)):
        if given is None:
            continue
        said = "PSNR in dB of the mean squared error over all samples"
        figures[f"psnr_{name}"] = _figure(f"psnr_{name}", psnr(x, given, medium.span), {**base, "metric": said})
        if perceptual is not None:
            facts = {**base, "metric": "LPIPS, mean over samples", "feature": perceptual.facts}
            figures[f"lpips_{name}"] = _figure(f"lpips_{name}", perceptual.distance(x, given, medium), facts)
    for name, value in (measured or {}).items():
        figures[name] = _figure(name, value, {**base, "metric": name})
    return figures


def _figure(name: str, value: float, protocol: Mapping[str, Any]) -> Figure:
    return figure(value, protocol, find_spec(name, FIGURES))
