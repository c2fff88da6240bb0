"""The contract of a backbone: from the canvas to one hidden vector per position that is due."""

from abc import ABC, abstractmethod
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from hybridgen.nn.attention import KeyValues
from hybridgen.types import Canvas, Condition, Step, StepLayout


class Backbone(nn.Module, ABC):
    """Reads the canvas, never what the step itself draws. `forward` and `advance` agree (law 3)."""

    width: int  # D
    per_step: bool = False  # True: one hidden vector per step instead of one per position
    revisits: bool = False  # True: a position may come again, as in choice by confidence; `due` counts as unknown

    @property
    def condition_width(self) -> int:
        """Width of the condition that it reads."""
        return self.width

    @abstractmethod
    def forward(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        """All steps at once, teacher forced: `canvas` is finished, `views[s]` is (B, n_s, C) as scale s began."""

    @abstractmethod
    def begin(self, condition: Condition) -> Any:
        """The state before the first step, such as a cache."""

    @abstractmethod
    def advance(self, state: Any, canvas: Canvas, view: Float[Tensor, "B n_s C"], step: Step) -> Tensor:
        """Hidden vectors of the step's positions, (rows, n, D); the state remembers the step."""

    def cached(self, state: Any) -> list[KeyValues]:
        """The keys and values that `state` holds, one entry per attention that has any; none where all is read anew.

        `hybridgen cost` measures memory by them; a backbone that keeps a cache overrides this.
        """
        return []

    @abstractmethod
    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """Vectors as the backbone's inputs see them; heads are conditioned on codes through it."""
