"""The options of the blocks `sweep` and `ablate` of an experiment, without their spaces, which `block.py` reads."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt

SamplerName = Literal["tpe", "nsga2", "gp", "qmc", "grid", "random"]
PrunerName = Literal["hyperband", "median"]


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """How the space is searched.

    Args:
        sampler: who proposes the next trial; grid goes through all combinations of choices and stepped ranges.
        seed: of the sampler; trial i draws from (seed, i), whoever runs it.
        pruner: who stops hopeless trials in stage 2; needs a single objective.
        watch: the held-out value of stage 2 that the pruner looks at, smaller being better.
        trials: how many; null stands for the whole grid, or for as many as fit into `seconds`.
        seconds: no trial begins later than so many seconds after the command.
    """

    sampler: SamplerName = "tpe"
    seed: Annotated[int, Ge(0)] = 0
    pruner: PrunerName | None = None
    watch: str = "held_out/loss"
    trials: Annotated[int, Ge(1)] | None = None
    seconds: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """What the table of an ablation shows.

    Args:
        figures: columns, by the names in summary.json.
        seeds: runs of each variant, with the experiment's seed and those after it.
        base: the variant that the others are compared with.
        resize: what may change so that costs agree: keys of whole numbers, tried in this order; the last may also be
            `model.backbone.mlp_ratio`.
    """

    figures: tuple[str, ...] = ("frechet", "accuracy", "recall")
    seeds: Annotated[int, Ge(1)] = 3
    base: str = "base"
    resize: tuple[str, ...] = ("model.residual_head.mlp_width", "model.backbone.width", "model.backbone.mlp_ratio")
