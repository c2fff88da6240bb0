"""What a decoder is shown in the course of training: the codes' sum, the latent, or both by the toss of a coin.

One decoder must serve both inputs in a hybrid: codes alone, and codes plus residual (HART, arXiv:2410.10812,
section 3.1).
"""

from dataclasses import dataclass
from typing import Literal

Phases = Literal["codes", "joint", "codes_first"]


@dataclass(frozen=True)
class Phase:
    """Part of a training: the chance that the decoder sees the latent itself, and what learns."""

    latent_share: float
    learns: Literal["all", "decoder"]


def phase_at(phases: Phases, progress: float, lead: float, tail: float) -> Phase:
    """The phase at `progress` in [0, 1).

    codes: codes throughout. joint: `lead` with the latent only, then half and half, and for the last `tail` the
    decoder alone learns. codes_first: codes until `tail`, then the decoder alone, half and half (HART's own).
    """
    if phases == "codes":
        return Phase(0.0, "all")
    if progress >= 1 - tail:
        return Phase(0.5, "decoder")
    if phases == "codes_first":
        return Phase(0.0, "all")
    return Phase(1.0, "all") if progress < lead else Phase(0.5, "all")
