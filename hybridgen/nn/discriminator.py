"""A discriminator that judges patches, in one to three dimensions, with its losses.

Sources: PatchGAN (arXiv:1611.07004), section 3.2 and appendix 6.1.2; hinge loss (arXiv:1705.02894); VQGAN
(arXiv:2012.09841), equations 6 and 7, and its authors' code for widths, norms and first weights.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.conv import CONV
from hybridgen.types import Grid

NormKind = Literal["batch", "group", "none"]
SLOPE = 0.2  # of the leaky rectifiers
WIDEST = 8  # times the first layer's channels
GROUPS = 8
DELTA = 1e-4  # keeps the adaptive weight's denominator from zero, as in the authors' code
_BATCH_NORM: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class PatchDiscriminator(nn.Module):
    """One logit for each patch of the data: high where it looks real.

    `layers` convolutions of side 4 halve the sides, two more of side 4 keep them but for one position each. A side that
    has become too short for a convolution is left as it is, by one of side 3: so data of any size are judged.

    Args:
        channels: X of the data.
        size: of the data; needed for the sides' lengths alone, there is no weight for a position.
        width: channels of the first layer, a multiple of 8; they double with each layer up to eightfold.
        layers: that halve the sides; three see patches of 70 positions a side.
        norm: after all convolutions but the first and the last. Batch norm takes the statistics of the rows that this
            process has.
    """

    def __init__(self, channels: int, size: Grid, width: int, layers: int, norm: NormKind) -> None:
        super().__init__()
        strides = (2,) * layers + (1, 1)
        widths = [channels, *(width * min(2**i, WIDEST) for i in range(layers + 1)), 1]
        parts: list[nn.Module] = []
        for i, stride in enumerate(strides):
            layer, size = _convolution(widths[i], widths[i + 1], size, stride)
            parts.append(layer)
            if i < len(strides) - 1:
                if i:
                    parts.append(_norm(norm, len(size), widths[i + 1]))
                parts.append(nn.LeakyReLU(SLOPE))
        self.layers, self.grid = nn.Sequential(*parts), size

    def forward(self, x: Float[Tensor, "B X *size"]) -> Float[Tensor, "B 1 *patches"]:
        """The logits, float32; `grid` is the shape of the patches."""
        return self.layers(x).float()


def hinge_loss(real: Float[Tensor, "B 1 *patches"], fake: Float[Tensor, "B 1 *patches"]) -> Float[Tensor, ""]:
    """The discriminator's loss: (mean max(0, 1 - real) + mean max(0, 1 + fake)) / 2, of its logits."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def deceiving_loss(fake: Float[Tensor, "B 1 *patches"]) -> Float[Tensor, ""]:
    """The generator's loss beside `hinge_loss`: minus the mean logit."""
    return -fake.mean()


def adaptive_weight(of_errors: Tensor, of_deceiving: Tensor, largest: float) -> Float[Tensor, ""]:
    """|| gradient of the errors || / (|| gradient of `deceiving_loss` || + delta), at most `largest` (equation 7).

    Args:
        of_errors: gradient of the reconstruction's loss by the decoder's last weight.
        of_deceiving: gradient of the loss that deceives, by the same weight.
        largest: the ratio is clamped to it.
    """
    ratio = torch.linalg.vector_norm(of_errors) / (torch.linalg.vector_norm(of_deceiving) + DELTA)
    return ratio.clamp(0, largest).detach()


def _convolution(inner: int, outer: int, size: Grid, stride: int) -> tuple[nn.Module, Grid]:
    """A convolution and the size that it leaves; each side has side 4 where at least two positions remain, else 3."""
    left = tuple(side // 2 if stride == 2 else side - 1 for side in size)
    fits = [new >= 2 for new in left]
    layer = CONV[len(size)](
        inner, outer,
        kernel_size=tuple(4 if fit else 3 for fit in fits),
        stride=tuple(stride if fit else 1 for fit in fits),
        padding=1,
    )  # fmt: skip
    _normal(layer, 0.0)
    return layer, tuple(new if fit else side for new, side, fit in zip(left, size, fits, strict=True))


def _norm(kind: NormKind, dims: int, channels: int) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    if kind == "group":
        return nn.GroupNorm(GROUPS, channels)
    layer = _BATCH_NORM[dims](channels)
    _normal(layer, 1.0)
    return layer


def _normal(layer: nn.Module, mean: float) -> None:
    """First weights, with the standard deviation 0.02."""
    weight = layer.weight
    assert isinstance(weight, Tensor), "convolutions and norms have one"
    nn.init.normal_(weight, mean, 0.02)
