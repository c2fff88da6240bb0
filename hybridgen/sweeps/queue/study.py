"""A study: tasks, each to be done once, claimed by any number of workers on any hosts.

A task is an Optuna trial that waits, with its number in the attribute `task`. Claiming it is one atomic change of
state in the storage. A trial ends COMPLETE, PRUNED or FAIL; one that failed by itself has a `reason`. FAIL without a
reason means that its worker was lost: the task gets a second trial, and only one. A trial that a user stopped is
marked `stopped` and gets another one in any case. So a task counts once, whatever happened to its workers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridgen.sweeps.queue.lease import Leases
from hybridgen.sweeps.queue.optuna_samplers import make_pruner, make_sampler
from hybridgen.sweeps.queue.settings import SweepOptions
from hybridgen.sweeps.queue.space import Params, Space
from hybridgen.sweeps.queue.storage import is_database, open_storage, patiently, trial_id
from hybridgen.system.files import lock

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial, TrialState

TASK, REASON, STOPPED, DUPLICATE = "ticket", "reason", "stopped", "surplus"
TRIES = 2  # trials of a task whose worker was lost


@dataclass(frozen=True)
class Plan:
    """What a study is made of.

    Args:
        name: of the study; two commands with equal names work on one study.
        space: of the trials' parameters.
        directions: minimize or maximize, by figure.
        options: how the space is searched.
        steps: at which a pruner looks.
        tasks: parameters of each trial, where they are known beforehand.
        ranked: whether the directions say which trial is best; in an ablation they do not.
        search: hash of what is searched and how, without the experiment.
    """

    name: str
    space: Space
    directions: Mapping[str, str]
    options: SweepOptions
    steps: Sequence[int] = ()
    tasks: Sequence[Params] | None = None
    ranked: bool = True
    search: str = ""


class Study:
    """One study in its storage.

    Args:
        plan: what it is made of.
        folder: where its files lie.
        storage: a database's URL, a journal's path, or None for the journal in the folder.
    """

    def __init__(self, plan: Plan, folder: Path, storage: str | None = None) -> None:
        import optuna

        self.plan, self.folder = plan, folder
        opened = open_storage(storage, folder)
        ways: list[Any] = [*plan.directions.values()]
        self.study = patiently(
            lambda: optuna.create_study(
                study_name=plan.name, storage=opened, directions=ways, load_if_exists=True,
                pruner=make_pruner(plan.options, plan.steps), sampler=make_sampler(plan.options, 0),
            )
        )  # fmt: skip
        self.storage = opened
        self.id = patiently(lambda: opened.get_study_id_from_name(plan.name))
        self.leases = Leases(opened, self.id, folder)

    def close(self) -> None:
        """Lets go of a database's connections."""
        if is_database(self.storage):
            self.storage.remove_session()
            self.storage.engine.dispose()

    def trials(self) -> "list[FrozenTrial]":
        """All of them as they stand, lost ones included."""
        return patiently(lambda: self.study.get_trials(deepcopy=False))

    def counted(self) -> "list[FrozenTrial]":
        """One per task: the latest that counts."""
        last: dict[int, FrozenTrial] = {}
        for trial in self.trials():
            if DUPLICATE not in trial.user_attrs and TASK in trial.user_attrs:
                last[trial.user_attrs[TASK]] = trial
        return [last[task] for task in sorted(last)]

    def open_tickets(self, total: int) -> int:
        """Make sure that each of `total` tasks has been done, is in work or waits; returns how many wait."""
        with lock(self.folder / ".claim"):
            return patiently(lambda: self._open_tickets(total))

    def claim(self, unbounded: bool = False) -> "Trial | None":
        """A trial for this process to run; None when none waits, or always another one when `unbounded`."""
        with lock(self.folder / ".claim"):
            trial = patiently(self._claim)
            if trial is None and unbounded:
                patiently(lambda: self._open_tickets(len(self.counted()) + 1))
                trial = patiently(self._claim)
        return trial

    def recover(self) -> "list[FrozenTrial]":
        """Fail the trials whose worker is gone; they are returned, and their tasks are open again."""
        from optuna.storages import fail_stale_trials

        states = _states()
        with lock(self.folder / ".claim"):
            running = [trial for trial in self.trials() if trial.state == states.RUNNING]
            lost = [trial for trial in running if self.leases.has_died(trial)]
            for trial in lost:
                self._close(trial, states.FAIL)
            if is_database(self.storage):
                patiently(lambda: fail_stale_trials(self.study))
            patiently(lambda: self._open_tickets(0))
        return lost

    def complete(self, trial: "Trial", values: Mapping[str, float]) -> None:
        """Closes a trial with its objectives; a value that is not finite fails it."""
        values = {name: float(values[name]) for name in self.plan.directions if name in values}
        missing = [name for name in self.plan.directions if not math.isfinite(values.get(name, math.nan))]
        if missing:
            shown = ", ".join(f"{name} is {values.get(name, 'missing')}" for name in missing)
            return self.fail(trial, f"no finite objective: {shown}")
        self._close(trial, _states().COMPLETE, [*values.values()])

    def prune(self, trial: "Trial") -> None:
        """Closes a trial that its pruner stopped."""
        self._close(trial, _states().PRUNED)

    def fail(self, trial: "Trial", reason: str) -> None:
        """Closes a trial that failed by itself and would fail again."""
        self.note(trial, REASON, reason)
        self._close(trial, _states().FAIL)

    def stop(self, trial: "Trial") -> None:
        """Closes a trial that the user stopped; the next command opens its task again."""
        self.note(trial, STOPPED, True)
        self._close(trial, _states().FAIL)

    def note(self, trial: "Trial", key: str, value: Any) -> None:
        """Sets an attribute of a running trial."""
        patiently(lambda: self.storage.set_trial_user_attr(self._id(trial), key, value))

    def _open_tickets(self, total: int) -> int:
        states = _states()
        attempts: dict[int, list[FrozenTrial]] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if DUPLICATE not in trial.user_attrs and TASK in trial.user_attrs:
                attempts.setdefault(trial.user_attrs[TASK], []).append(trial)
        for task in range(max([total, *(t + 1 for t in attempts)])):
            tried = attempts.get(task, [])
            lost = [t for t in tried if t.state == states.FAIL and not t.user_attrs.keys() & {REASON, STOPPED}]
            stopped = [t for t in tried if t.user_attrs.get(STOPPED)]
            if not tried:
                self._enqueue(task, self._known(task, tried))
            elif len(lost) + len(stopped) == len(tried) and len(lost) < TRIES:
                self._enqueue(task, self._known(task, tried), tried[-1].number)
        return len(self.study.get_trials(deepcopy=False, states=(states.WAITING,)))

    def _known(self, task: int, tried: "Sequence[FrozenTrial]") -> Params | None:
        """The parameters of a task: planned, or those that an earlier trial of it drew; None where none has."""
        if self.plan.tasks is not None:
            return self.plan.tasks[task]
        return next((t.params for t in reversed(tried) if t.params.keys() == self.plan.space.dimensions.keys()), None)

    def _enqueue(self, task: int, params: Params | None, again: int | None = None) -> None:
        attributes = {TASK: task} | ({} if again is None else {"again": again})
        whole = params is not None and params.keys() == self.plan.space.dimensions.keys()
        self.study.enqueue_trial(dict(params or {}) if whole else {}, user_attrs=attributes)

    def _claim(self) -> "Trial | None":
        from optuna import Trial

        states, everything = _states(), self.study.get_trials(deepcopy=False)
        for waiting in (t for t in everything if t.state == states.WAITING):
            if _is_duplicate(waiting, everything):  # two hosts opened one task at the same moment
                self.storage.set_trial_user_attr(self._id(waiting), DUPLICATE, True)
                self._close(waiting, states.FAIL)
                continue
            if not self.leases.take(waiting):
                continue
            self.study.sampler = make_sampler(self.plan.options, waiting.number)
            # not `ask`: it takes a trial before its number is known, and the number seeds the sampler
            return Trial(self.study, self._id(waiting))
        return None

    def _id(self, trial: "Trial | FrozenTrial") -> int:
        return trial_id(self.storage, self.id, trial)

    def _close(self, trial: "Trial | FrozenTrial", state: "TrialState", values: Sequence[float] | None = None) -> None:
        """Closes a trial. One that others closed, or this call before the connection broke, stays as it is."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            patiently(lambda: self.storage.set_trial_state_values(self._id(trial), state, values))
        except UpdateFinishedTrialError:
            return


def _is_duplicate(waiting: "FrozenTrial", everything: "Sequence[FrozenTrial]") -> bool:
    """Whether an earlier trial of the same task waits, is in work or has been counted."""
    earlier = [t for t in everything if t.number < waiting.number and DUPLICATE not in t.user_attrs]
    same = [t for t in earlier if t.user_attrs.get(TASK) == waiting.user_attrs.get(TASK)]
    ended = _states().FAIL
    return any(t.state != ended or REASON in t.user_attrs for t in same)


def _states() -> "type[TrialState]":
    from optuna.trial import TrialState

    return TrialState
