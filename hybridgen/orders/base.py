"""The contract of an order: which positions are due when."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.draws import Draws
from hybridgen.types import Canvas, Step, StepLayout


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan: `count` positions of group `group`, of which `done` are drawn; the group takes `of` steps."""

    group: int
    done: int
    count: int
    of: int


def known_after(plan: Sequence[PlannedStep]) -> list[float]:
    """Fraction of the group known after each step; never 1: at least one position counts as unknown."""
    sizes = {planned.group: planned.done + planned.count for planned in plan}  # the last step of a group ends it
    return [min(planned.done + planned.count, sizes[planned.group] - 1) / sizes[planned.group] for planned in plan]


class Order(ABC):
    """Steps of training, and a plan of sampling; no parameters."""

    scales: tuple[int, ...]  # the scales that are visited, coarse to fine

    @abstractmethod
    def training(self, batch: int, rng: Draws) -> StepLayout:
        """What is due in one training pass."""

    @abstractmethod
    def plan(self, sets: int) -> list[PlannedStep]:
        """All steps of sampling, known before the loop; the last scale's groups are drawn in `sets` steps."""

    @abstractmethod
    def step(self, planned: PlannedStep, shuffle: Float[Tensor, "B n"], canvas: Canvas, by_confidence: bool) -> Step:
        """A planned step with its positions; `shuffle` orders those of the last scale.

        By confidence all unknown positions are due.
        """
