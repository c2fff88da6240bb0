"""A worker: takes a task, runs its trial, says how it ended, takes the next."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hybridgen.sweeps.queue.optuna_samplers import suggest
from hybridgen.sweeps.queue.space import Params
from hybridgen.sweeps.queue.storage import alive, patiently
from hybridgen.sweeps.queue.study import Study

if TYPE_CHECKING:
    from optuna import Trial

Report = Callable[[int, float], None]  # step, value; raises TrialPruned when the pruner has had enough
RunTrial = Callable[[int, Params, Report], Mapping[str, float]]  # number, parameters -> figures by name
LONGEST = 500  # characters of a reason


def work(study: Study, run_trial: RunTrial, stop: Callable[[], bool] = lambda: False, unbounded: bool = False) -> int:
    """Runs trials until none waits or `stop` says so; how many were begun.

    Args:
        study: whose tasks.
        run_trial: gives the figures of one trial; whatever it raises fails the trial alone, and is recorded.
        stop: asked before each trial.
        unbounded: open ever more tasks.

    Raises:
        KeyboardInterrupt: the trial in work is open again.
    """
    begun = 0
    while not stop():
        study.recover()
        trial = study.claim(unbounded)
        if trial is None:
            return begun
        begun += 1
        _attempt(study, trial, run_trial)
    return begun


def _attempt(study: Study, trial: "Trial", run_trial: RunTrial) -> None:
    from optuna import TrialPruned

    def report(step: int, value: float) -> None:
        direction = next(iter(study.plan.directions.values()))
        patiently(lambda: trial.report(value if direction == "minimize" else -value, step))
        if trial.should_prune():
            raise TrialPruned(f"pruned at step {step}")

    with alive(study.leases.sign(trial)):
        try:
            params = patiently(lambda: suggest(trial, study.plan.space))
            figures = run_trial(trial.number, params, report)
        except KeyboardInterrupt:
            study.stop(trial)
            raise
        except TrialPruned:
            study.prune(trial)
        except Exception as error:
            study.fail(trial, reason_of(error))
        else:
            study.complete(trial, figures)


def reason_of(error: BaseException) -> str:
    """Why a trial failed, in a line or two."""
    text, kind = str(error).strip(), type(error).__name__
    return (text if kind.startswith("UserError") else f"{kind}: {text}" if text else kind)[:LONGEST]
