"""Settings that change from step to step, worked out for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from jaxtyping import Float
from torch import Tensor

from hybridgen.diffusion.solvers import Solver
from hybridgen.samplers.sampler import Sampler, Schedule

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class StepSettings:
    """A sampler's settings for one step: numbers only."""

    guidance: float
    head_guidance: float
    temperature: float
    top_k: int
    top_p: float
    head_steps: int
    head_temperature: float
    solver: Solver
    mix: float
    mix_gain: float
    mix_tells: Literal["mixture", "code"]

    @property
    def is_guided(self) -> bool:
        """Whether the step needs null rows."""
        return self.guidance != 1 or self.head_guidance != 1


def settings_of(sampler: Sampler, known: Sequence[float]) -> list[StepSettings]:
    """The settings of every step; `known` holds the fraction of its scale's positions that is known after each."""
    return [settings_at(sampler, j, len(known), share) for j, share in enumerate(known)]


def settings_at(sampler: Sampler, j: int, steps: int, known: float = 1.0) -> StepSettings:
    """The settings of step j of `steps`, after which a fraction `known` of its scale's positions is known."""
    head = sampler.guidance if sampler.head_guidance is None else sampler.head_guidance
    return StepSettings(
        guidance=guidance_at(sampler.guidance, j, steps, sampler.ramp, known),
        head_guidance=guidance_at(head, j, steps, sampler.ramp, known),
        temperature=at(sampler.temperature, j),
        top_k=at(sampler.top_k, j),
        top_p=at(sampler.top_p, j),
        head_steps=at(sampler.head_steps, j),
        head_temperature=at(sampler.head_temperature, j),
        solver=sampler.solver,
        mix=at(sampler.mix, j),
        mix_gain=at(sampler.mix_gain, j),
        mix_tells=sampler.mix_tells,
    )


def at(value: Number | Sequence[Number], j: int) -> Number:
    """The setting of step j: a number holds for all steps, a list gives one per step and its last one holds on."""
    if isinstance(value, Sequence):
        return value[min(j, len(value) - 1)]
    return value


def guidance_at(value: float | Sequence[float], j: int, steps: int, ramp: Schedule, known: float = 1.0) -> float:
    """Guidance of step j of `steps`: 1 where the ramp begins, the full value where it ends."""
    w = at(value, j)
    if ramp == "known":
        return 1.0 + (w - 1.0) * known
    if ramp == "constant" or steps == 1:
        return w
    return 1.0 + (w - 1.0) * j / (steps - 1)


def guide(logits: Float[Tensor, "rows n V"], w: float, batch: int) -> Float[Tensor, "B n V"]:
    """null + w (conditional - null); the conditional rows alone when w is 1, or when there are no others."""
    if w == 1 or logits.shape[0] == batch:
        return logits[:batch]
    conditional, null = logits.chunk(2)
    return null + w * (conditional - null)
