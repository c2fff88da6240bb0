"""Optuna's samplers and pruners by our names, and a trial's parameters asked of them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from hybridgen.sweeps.queue.settings import SweepOptions
from hybridgen.sweeps.queue.space import Choices, Space, Value

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def make_sampler(options: SweepOptions, trial: int) -> "BaseSampler":
    """The sampler of one trial: its seed depends on the trial, not on who runs it. A grid's trials need none."""
    from optuna import samplers

    digest = hashlib.blake2b(f"{options.seed} {trial}".encode(), digest_size=4).digest()
    seed = int.from_bytes(digest, "little") & 0x7FFFFFFF
    made: Final[Mapping[str, Callable[[], BaseSampler]]] = {
        "tpe": lambda: samplers.TPESampler(seed=seed),
        "nsga2": lambda: samplers.NSGAIISampler(seed=seed, population_size=24),
        "gp": lambda: samplers.GPSampler(seed=seed),
        "qmc": lambda: samplers.QMCSampler(seed=options.seed),  # one sequence: the study counts how far it is
        "grid": lambda: samplers.RandomSampler(seed=seed),
        "random": lambda: samplers.RandomSampler(seed=seed),
    }
    return made[options.sampler]()


def make_pruner(options: SweepOptions, steps: Sequence[int]) -> "BasePruner":
    """The pruner; `steps` are those at which a trial is looked at."""
    from optuna import pruners

    if options.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=4)
    if options.pruner == "hyperband" and steps:
        return pruners.HyperbandPruner(min_resource=steps[0], max_resource=steps[-1])
    return pruners.NopPruner()


def suggest(trial: "Trial", space: Space) -> dict[str, Value]:
    """The parameters of a trial, by dimension."""
    params: dict[str, Value] = {}
    for name, d in space.dimensions.items():
        if isinstance(d, Choices):
            params[name] = trial.suggest_categorical(name, d.labels)
        elif d.whole:
            params[name] = trial.suggest_int(name, int(d.low), int(d.high), step=int(d.step or 1), log=d.log)
        else:
            params[name] = trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    return params
