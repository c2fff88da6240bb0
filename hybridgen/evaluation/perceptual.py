"""LPIPS, a distance that follows what people see, from weights at hand: nothing is downloaded.

Source: LPIPS, arXiv:1801.03924, AlexNet, version 0.1, by its authors' package, which holds the linear heads.
"""

import hashlib
import warnings
from pathlib import Path
from typing import Any

import lpips
import torch
from jaxtyping import UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hybridgen.media.base import Medium
from hybridgen.system.errors import UserError
from hybridgen.types import Grid

SMALLEST = 32  # AlexNet's pooling leaves nothing of smaller images


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
        path = Path(file).expanduser()
        features = {key: value.float() for key, value in _weights(path).items() if key.startswith("features.")}
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it draws weights that are then replaced
            warnings.simplefilter("ignore")  # lpips calls torchvision by names that are going away
            self.net = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        try:
            # lpips cuts AlexNet into slices but keeps the layers' numbers: slice2.3 is features.3
            for part in (getattr(self.net.net, f"slice{i}") for i in range(1, 6)):
                for name, layer in part.named_children():
                    start = f"features.{name}."
                    layer.load_state_dict(
                        {k.removeprefix(start): v for k, v in features.items() if k.startswith(start)}
                    )
        except RuntimeError:
            raise UserError(f"metrics.lpips: {path}: not AlexNet's convolutions, features.0.weight and so on") from None
        self.net.eval().requires_grad_(False).to(device)  # lpips leaves its linear heads trainable
        self.batch, self.device = batch, device
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
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
    if min(size) < SMALLEST:
        return f"LPIPS is left out: it needs images of {SMALLEST} pixels, these have {min(size)}"
    if file is None:
        return "LPIPS is left out: no weights at hand (metrics.lpips=FILE)"
    return ""


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError) as error:
        raise UserError(f"metrics.lpips: {path}: cannot be read: {error}") from None
    except Exception as error:  # unpickling refuses in many ways; all mean: not weights
        raise UserError(f"metrics.lpips: {path}: not a weights file: {str(error).splitlines()[0]}") from None
    if not isinstance(weights, dict):
        raise UserError(f"metrics.lpips: {path}: not a weights file: it holds a {type(weights).__name__}")
    return weights
