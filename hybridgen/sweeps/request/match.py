"""Variants resized until they cost as much as the base: comparisons at equal budget.

What may be resized is tried key by key (costs grow with each of them); what the first key leaves over, because widths
are whole numbers, the next one makes up. Parameters and products are counted; seconds are timed, by turns with the
base's, on as many threads as the caller has set.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler
from hybridgen.config.compose import Composed
from hybridgen.evaluation.cost import macs
from hybridgen.evaluation.timing import seconds
from hybridgen.generate.trained import Trained
from hybridgen.sweeps.request.block import Experiment
from hybridgen.sweeps.request.paired_timing import LONG, LOOK, Stopwatch, pace
from hybridgen.system.errors import UserError
from hybridgen.training.machine import choose

Budget = Literal["params", "macs", "seconds"]
WITHIN = 0.02  # of the base's budget
UNSURE = 0.03  # of it: a 99.9 % interval of timings wider than this to both sides tells too little
LARGEST = 32  # times a size may grow or shrink
STRIDE = 2  # times it does so at once: what is far off is dear to time
SAMPLES = 32  # a batch when seconds are measured


@dataclass(frozen=True)
class Matched:
    """A variant's further overrides, and its budget in units of the base's."""

    overrides: tuple[str, ...]
    ratio: float


def budget(composed: Composed, kind: Literal["params", "macs"]) -> float:
    """What the experiment's model costs: parameters that stage 2 trains, or multiply-accumulates a sample."""
    trained = _untrained(composed)
    if kind == "macs":
        return float(macs(lambda: trained.sample(count=1)))
    named = trained.model.named_parameters()
    return float(sum(p.numel() for name, p in named if not name.startswith("tokenizer.")))


def stopwatch(composed: Composed) -> Stopwatch:
    """Draws a batch of samples with random weights, each time it is asked."""
    trained = _untrained(composed)
    return lambda: seconds(lambda: trained.sample(count=SAMPLES), repeats=1, warm_up=0).value


def match(
    experiment: Experiment, base: Sequence[str], variant: Sequence[str], keys: Sequence[str], kind: Budget,
    say: Callable[[str], None] = lambda line: None,
) -> Matched:  # fmt: skip
    """Further overrides that bring a variant to the base's budget; `say` is told of each that is tried.

    Raises:
        UserError: none of the keys brings it within 2 %, or seconds vary too much to tell.
    """
    weigh = _scales(experiment.compose(base), kind)

    def ratio(overrides: Sequence[str], long: float = LOOK) -> float:
        found = weigh(experiment.compose([*variant, *overrides]), long)
        say(f"{' '.join(overrides) or 'as it is'}: {found:.1%} of the base's {kind}")
        return found

    timed = kind == "seconds"
    enough = WITHIN / 2 if timed else 0.0  # what is timed is not worth splitting further
    near = WITHIN / 2 if timed else WITHIN  # and leaves room for being timed anew
    best = Matched((), ratio(()))
    for key in keys:
        if abs(best.ratio - 1) <= near:
            break
        composed = experiment.compose([*variant, *best.overrides])
        size = _size(composed, key)
        if size is None:
            continue
        step = _step(composed, key)
        present = best

        def tried(value: int | float, key: str = key, size: int | float = size, present: Matched = present) -> float:
            return present.ratio if value == size else ratio([*present.overrides, f"{key}={value}"])

        found = _nearest(tried, size, step, enough)
        if abs(found[1] - 1) < abs(best.ratio - 1):
            best = Matched((*best.overrides, f"{key}={found[0]}"), found[1])
    if abs(best.ratio - 1) > WITHIN:
        changed = f" ({' '.join(best.overrides)})" if best.overrides else ""
        raise UserError(
            f"--match {kind}: [{', '.join(variant)}] comes to {best.ratio:.2f} of the base's budget at best{changed}\n"
            f"  resized were {', '.join(keys)}; name others in ablate.resize"
        )
    return _anew(best, ratio(best.overrides, LONG)) if timed else best


def _anew(best: Matched, found: float) -> Matched:
    """Timed anew, and for longer: the best of several noisy timings looks better than it is."""
    if abs(found - 1) > WITHIN:
        raise UserError(
            f"--match seconds: {' '.join(best.overrides) or 'as it is'} came to {best.ratio:.1%} of the base's, "
            f"then to {found:.1%}\n"
            "  stop what else runs on this machine, or take --match macs"
        )
    return Matched(best.overrides, found)


def _scales(base: Composed, kind: Budget) -> Callable[[Composed, float], float]:
    """What gives an experiment's budget in units of the base's; how many seconds to time it is the second argument."""
    if kind != "seconds":
        goal = budget(base, kind)
        return lambda composed, long: budget(composed, kind) / goal
    reference = stopwatch(base)

    def timed(composed: Composed, long: float) -> float:
        found = pace(stopwatch(composed), reference, WITHIN, long)
        undecided = found.low <= 1 + WITHIN and found.high >= 1 - WITHIN
        if undecided and (found.high - found.low) / 2 > UNSURE:
            raise UserError(
                f"--match seconds: timings vary too much here, {found.low:.2f} to {found.high:.2f} of the base's\n"
                "  stop what else runs on this machine, or take --match macs"
            )
        return found.ratio

    return timed


def _untrained(composed: Composed) -> Trained:
    """The experiment's model with random weights, on its device."""
    data = assemble_data(composed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = assemble_model(composed, data.spec).eval().requires_grad_(False)
    model.to(choose(composed.config["device"], "fp32").device)
    return Trained(model, assemble_sampler(composed), composed.config, data.spec, Path(), {})


def _size(composed: Composed, key: str) -> int | float | None:
    """The present value of a key; None where the variant has no such part."""
    try:
        value = composed.node(key)
    except (KeyError, TypeError):
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _step(composed: Composed, key: str) -> int | float:
    """Values are multiples of this: a width is shared out among heads, by pairs; a ratio is no whole number."""
    above, _, name = key.rpartition(".")
    if isinstance(composed.node(key), float):
        return 1 / 64
    heads = composed.node(above).get("heads") if name == "width" else None
    return 2 * heads if isinstance(heads, int) else 1


def _nearest(
    ratio: Callable[[int | float], float], size: int | float, step: int | float, enough: float = 0.0
) -> tuple[int | float, float]:
    """The multiple of `step` whose ratio is nearest to 1, and that ratio; `ratio` grows with the value.

    The first one within `enough` of 1 will do.
    """
    least, most = max(1, round(size / LARGEST / step)), max(2, round(size * LARGEST / step))
    tried: dict[int, float] = {}
    count = max(1, round(size / step))
    while count not in tried:
        tried[count] = ratio(count * step)
        if abs(tried[count] - 1) <= enough:
            break
        low = max((c for c, found in tried.items() if found < 1), default=None)
        high = min((c for c, found in tried.items() if found >= 1), default=None)
        if high is None or low is None:
            count = max(least, count // STRIDE) if low is None else min(most, low * STRIDE)
        elif high - low > 1:
            count = _between(low, high, tried)
    count = min(tried, key=lambda count: abs(tried[count] - 1))
    return count * step, tried[count]


def _between(low: int, high: int, tried: dict[int, float]) -> int:
    """Where a power law through both ends says 1, and now and then the middle, lest one end stands for ever."""
    share = 0.5 if len(tried) % 5 == 0 else math.log(1 / tried[low]) / math.log(tried[high] / tried[low])
    return min(high - 1, max(low + 1, round(low * (high / low) ** share)))
