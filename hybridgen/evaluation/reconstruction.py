"""How well a tokenizer gives pictures back: from the codes alone, and with the residual."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from hybridgen.evaluation.perceptual import Perceptual
from hybridgen.evaluation.protocol import SAID, Figure, figure, missing_fields

_CHUNK = 1000


def evaluate_reconstruction(
    x: UInt8[Tensor, "N X *size"],
    discrete: UInt8[Tensor, "N X *size"] | None,
    full: UInt8[Tensor, "N X *size"],
    protocol: Mapping[str, Any],
    *,
    measured: Mapping[str, float] | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Figure]:
    """Figures of a tokenizer on pictures rounded to bytes.

    `psnr_residual` compares with `full`, `psnr_discrete` with `discrete` (None: no codes); with `perceptual`
    `lpips_residual` and `lpips_discrete` too. `measured` are figures that the tokenizer knows itself, such as
    `residual_share` or `perplexity/0`; they get the same protocol.

    `protocol` says: data, model, weights, precision, device, split, data_hash.
    """
    base = {"kind": "reconstructed", **protocol, "count": len(x), "rounding": "uint8"}
    if missing := missing_fields(base, SAID):
        raise ValueError(f"the protocol of a reconstruction lacks {', '.join(missing)}")
    figures = {}
    for name, given in (("discrete", discrete), ("residual", full)):
        if given is None:
            continue
        said = "PSNR in dB of the mean squared error over all pictures"
        figures[f"psnr_{name}"] = figure(psnr(x, given), {**base, "metric": said})
        if perceptual is not None:
            facts = {**base, "metric": "LPIPS, mean over pictures", "feature": perceptual.facts}
            figures[f"lpips_{name}"] = figure(perceptual.distance(x, given), facts)
    for name, value in (measured or {}).items():
        figures[name] = figure(value, {**base, "metric": name})
    return figures


def psnr(x: UInt8[Tensor, "N X *size"], given: UInt8[Tensor, "N X *size"]) -> float:
    """dB of the mean squared error over all pictures, white being 255; infinite for equal bytes.

    The mean is taken before the logarithm, so that a few perfect pictures do not lift the figure.
    """
    squares = 0.0
    for a, b in zip(x.split(_CHUNK), given.split(_CHUNK), strict=True):
        squares += float((a.to(torch.float64) - b.to(torch.float64)).square().sum())
    return 10 * math.log10(255**2 * x.numel() / squares) if squares else math.inf
