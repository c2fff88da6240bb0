"""The sampler: how a canvas is filled. Nothing here needs a model to be trained again."""

from dataclasses import dataclass, fields
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from hybridgen.diffusion.solvers import Euler, Solver
from hybridgen.system.errors import UserError

Schedule = Literal["constant", "linear", "known"]
Count = Annotated[int, Ge(0)]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Numbers of the sampling loop; a tuple gives one number a step (its last one goes on for the rest).

    Args:
        sets: how many sets the last scale is drawn in; 1 draws it at once.
        by: how sets are chosen: in random order, or by the confidence of what was drawn.
        guidance: w in null + w (conditional - null) on the logits of the codes; 1 is none.
        head_guidance: the same on the residual head; None takes `guidance`.
        ramp: "linear" lets guidance grow from 1 at the first step to w at the last (VAR); "known" with the share of the
            scale's positions that will be known after the step, of which one at least is held to be left (MAR).
        temperature: of the codes; 0 takes the likeliest.
        top_k: keep this many codes; 0 keeps all.
        top_p: keep the likeliest codes up to this probability.
        head_steps: intervals of the solver in one draw of the residual; 0 leaves the residual out.
        head_temperature: of the residual: scales the noise.
        solver: integrates the head from noise to residual.
        mix: temperature of a Gumbel-softmax mixture of codebook vectors in place of the drawn code's (HART's demo);
            0 paints the code's own vector.
        mix_gain: of the logits that the mixture is made of.
        mix_tells: what the residual head is told was painted: the mixture, or the drawn code's own vector.
    """

    sets: Annotated[int, Ge(1)] = 1
    by: Literal["random", "confidence"] = "random"
    guidance: NotNegative | tuple[NotNegative, ...] = 1.0
    head_guidance: NotNegative | tuple[NotNegative, ...] | None = None
    ramp: Schedule = "constant"
    temperature: NotNegative | tuple[NotNegative, ...] = 1.0
    top_k: Count | tuple[Count, ...] = 0
    top_p: Share | tuple[Share, ...] = 1.0
    head_steps: Count | tuple[Count, ...] = 8
    head_temperature: NotNegative | tuple[NotNegative, ...] = 1.0
    solver: Solver = Euler()
    mix: NotNegative | tuple[NotNegative, ...] = 0.0
    mix_gain: Positive | tuple[Positive, ...] = 1.0
    mix_tells: Literal["mixture", "code"] = "mixture"

    def __post_init__(self) -> None:
        empty = [field.name for field in fields(self) if getattr(self, field.name) == ()]
        if empty:
            raise UserError(f"{empty[0]}: an empty list; give a number, or one a step")
