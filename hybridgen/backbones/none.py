"""No backbone: the condition itself is the hidden vector of every step (a plain diffusion transformer's case)."""

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from hybridgen.backbones.base import Backbone
from hybridgen.system.errors import UserError
from hybridgen.types import Canvas, Condition, Step, StepLayout, TokenSpec


class NoBackbone(Backbone):
    """One hidden vector per step: the pooled condition. The head does all the work.

    Args:
        tokens: what the tokenizer offers.
        width: D of the condition.
    """

    per_step = True
    revisits = True

    def __init__(self, tokens: TokenSpec, *, width: Annotated[int, Ge(1)] = 128) -> None:
        super().__init__()
        self.width = width

    def forward(
        self, canvas: Canvas, views: dict[int, Tensor], due: StepLayout, condition: Condition
    ) -> Float[Tensor, "rows N D"]:
        """(rows, steps, D): the condition, for each step."""
        return condition.pooled()[:, None].expand(-1, len(due.sizes), -1)

    def begin(self, condition: Condition) -> Condition:
        """The state is the condition."""
        return condition

    def advance(self, state: Condition, canvas: Canvas, view: Float[Tensor, "B n_s C"], step: Step) -> Tensor:
        """(rows, 1, D)."""
        return state.pooled()[:, None]

    def embed(self, vectors: Float[Tensor, "B n C"]) -> Float[Tensor, "B n D"]:
        """Nothing here sees vectors."""
        raise UserError("backbone 'none' embeds no codes: use it without a code head")
