"""The decoder's input in the course of training: the codes' sum, the latent, or either at random.

In a hybrid, one decoder serves both inputs: codes alone, and codes plus residual (HART, arXiv:2410.10812, section 3.1).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt


@dataclass(frozen=True)
class Phase:
    """Part of a training: the probability that the decoder's input is the latent itself, and the parts that learn."""

    latent_share: float
    learns: Literal["all", "decoder"]


class Phases(ABC):
    """The phases of a training. Cards: registry/phases/."""

    @abstractmethod
    def at(self, progress: float) -> Phase:
        """The phase at `progress` in [0, 1)."""


@dataclass(frozen=True)
class CodesOnly(Phases):
    """The codes' sum, from beginning to end."""

    def at(self, progress: float) -> Phase:
        """Always the same."""
        return Phase(0.0, "all")


@dataclass(frozen=True, kw_only=True)
class Joint(Phases):
    """The latent alone, then half and half; at the end the decoder alone learns, half and half.

    Args:
        lead: fraction of the training in which the decoder's input is the latent alone.
        tail: fraction of the training, at its end, in which only the decoder learns.
    """

    lead: Annotated[float, Ge(0), Lt(1)] = 0.1
    tail: Annotated[float, Ge(0), Lt(1)] = 0.19

    def at(self, progress: float) -> Phase:
        """One of three phases."""
        if progress >= 1 - self.tail:
            return _decoder_alone()
        return Phase(1.0, "all") if progress < self.lead else Phase(0.5, "all")


@dataclass(frozen=True, kw_only=True)
class CodesFirst(Phases):
    """The codes' sum; at the end the decoder alone learns, half and half (HART's own training).

    Args:
        tail: fraction of the training, at its end, in which only the decoder learns.
    """

    tail: Annotated[float, Ge(0), Lt(1)] = 0.19

    def at(self, progress: float) -> Phase:
        """One of two phases."""
        return _decoder_alone() if progress >= 1 - self.tail else Phase(0.0, "all")


def _decoder_alone() -> Phase:
    return Phase(0.5, "decoder")
