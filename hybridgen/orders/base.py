"""The contract of an order: which positions are due when."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from hybridgen.nn.draws import Draws
from hybridgen.types import Canvas, Due, Step


@dataclass(frozen=True)
class Turn:
    """One entry of a plan: `count` positions of group `group`, after `done` of them, in turn `index` of `of`."""

    group: int
    done: int
    count: int
    of: int


def known_after(plan: Sequence[Turn]) -> list[float]:
    """Share of its group that is known after each turn, where one position at least is held to be left."""
    sizes = {turn.group: turn.done + turn.count for turn in plan}  # the last turn of a group ends it
    return [min(turn.done + turn.count, sizes[turn.group] - 1) / sizes[turn.group] for turn in plan]


class Order(ABC):
    """Steps of training, and a plan of sampling; no parameters."""

    scales: tuple[int, ...]  # the scales that are visited, coarse to fine

    @abstractmethod
    def training(self, batch: int, rng: Draws) -> Due:
        """What is due in one training pass."""

    @abstractmethod
    def plan(self, sets: int) -> list[Turn]:
        """All turns of sampling, known before the loop; the last scale's groups are drawn in `sets` turns."""

    @abstractmethod
    def step(self, turn: Turn, shuffle: Float[Tensor, "B n"], canvas: Canvas, by_confidence: bool) -> Step:
        """The step of a turn; `shuffle` orders the positions of the last scale. By confidence all unknown are due."""
