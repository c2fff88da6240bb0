"""LPIPS, a distance that follows what people see, as a figure; its network is `hybridgen/nn/lpips.py`."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.nn.lpips import SMALLEST, lpips_network
from hybridgen.types import Grid


class Perceptual:
    """LPIPS over AlexNet.

    Args:
        file: AlexNet's convolutions, keys `features.<i>.weight`, as .safetensors or as torchvision's .pth.
        batch: images at a time.
        device: where to compute.

    Raises:
        UserError: the file is absent, damaged, or no AlexNet.
    """

    facts: dict[str, Any]

    def __init__(self, file: str, batch: int = 100, device: torch.device | str = "cpu") -> None:
        self.net = lpips_network(file, "alex", "metrics.lpips").to(device)
        self.batch, self.device = batch, device
        digest = hashlib.sha256(Path(file).expanduser().read_bytes()).hexdigest()[:12]
        self.facts = {"net": "LPIPS 0.1 AlexNet", "hash": digest, "resize": "none", "range": "-1..1"}

    @torch.inference_mode()
    def distance(self, a: UInt8[Tensor, "N X H W"], b: UInt8[Tensor, "N X H W"], medium: Medium) -> float:
        """Mean over pairs; grey is repeated to three channels."""
        total = 0.0
        for x, y in zip(a.split(self.batch), b.split(self.batch), strict=True):
            pair = [medium.restore(z.to(self.device)).expand(-1, 3, -1, -1) for z in (x, y)]
            total += float(self.net(*pair).double().sum())
        return total / len(a)


def why_not(file: str | None, size: Grid) -> str:
    """Why LPIPS cannot be measured; empty when it can."""
    if len(size) != 2:
        return "LPIPS is left out: it looks at images only"
    if min(size) < SMALLEST["alex"]:
        return f"LPIPS is left out: it needs images of {SMALLEST['alex']} pixels, these have {min(size)}"
    if file is None:
        return "LPIPS is left out: no weights at hand (metrics.lpips=FILE)"
    return ""
