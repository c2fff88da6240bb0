"""The options of the node `metrics`: what is measured, on how many samples, with which networks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """What is measured.

    Args:
        samples: samples that are drawn; figures of different numbers do not compare.
        batch: samples drawn, or looked at by a network, at a time.
        seed: of the first sample; sample i has the seed plus i.
        which: metric cards.
        judge: file of a judge, for data that none ships for; made by `hybridgen judge`.
        inception: Inception weights as clean-fid uses them, a TorchScript file, or `download`; adds FID and its KID.
        lpips: file of AlexNet weights for LPIPS, .safetensors or .pth; without it LPIPS is left out.
        reference: the split that drawn samples are compared with.
    """

    samples: Annotated[int, Ge(1)] = 2000
    batch: Annotated[int, Ge(1)] = 250
    seed: Annotated[int, Ge(0)] = 0
    which: tuple[str, ...] = ("frechet", "kid", "precision_recall", "accuracy", "memorisation")
    judge: str | None = None
    inception: str | None = None
    lpips: str | None = None
    reference: Literal["test", "train"] = "test"
