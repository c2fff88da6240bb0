"""How a study stands: counts, what runs, the best so far, time left."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from hybridgen.sweeps.queue.lease import OWNER
from hybridgen.sweeps.queue.study import REASON, STOPPED, TASK, Study
from hybridgen.system.text import duration, number

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass
class Standing:
    """A study at a moment; each task counts once."""

    name: str
    total: int
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: list[str] = field(default_factory=list)  # what, by whom
    waiting: int = 0
    lost: int = 0  # trials whose worker died; each was begun again
    best: list[dict[str, Any]] = field(default_factory=list)  # trial, values, params; several make a front
    reasons: dict[str, int] = field(default_factory=dict)  # of failures
    seconds_left: float | None = None

    @property
    def done(self) -> int:
        """Tickets that need nothing more."""
        return self.complete + self.pruned + self.failed

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self.waiting and not self.running

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "done": self.done}


def standing(study: Study, total: int) -> Standing:
    """How it stands now."""
    counted = study.counted()
    found = Standing(study.plan.name, max(total, len(counted)))
    found.lost = len([t for t in study.trials() if TASK in t.user_attrs]) - len(counted)
    for trial in counted:
        _count(found, trial)
    found.waiting = found.total - found.done - len(found.running)
    found.best = best(study) if study.plan.ranked else []
    took = [t.duration.total_seconds() for t in counted if t.state.name == "COMPLETE" and t.duration is not None]
    if took and found.waiting + len(found.running):
        at_once = max(1, len(found.running))
        found.seconds_left = statistics.mean(took) * (found.waiting + len(found.running) / 2) / at_once
    return found


def _count(found: Standing, trial: "FrozenTrial") -> None:
    state = trial.state.name
    if state == "COMPLETE":
        found.complete += 1
    elif state == "PRUNED":
        found.pruned += 1
    elif state == "RUNNING":
        who: Mapping[str, Any] = trial.user_attrs.get(OWNER, {})
        since = "" if trial.datetime_start is None else duration(time.time() - trial.datetime_start.timestamp())
        said = " ".join(f"{name.rpartition('.')[2]}={_short(value)}" for name, value in trial.params.items())
        found.running.append(f"{trial.number}: {said} on {who.get('host', '?')}, pid {who.get('pid', '?')}, {since}")
    elif state == "FAIL" and not trial.user_attrs.get(STOPPED):
        found.failed += 1
        reason = trial.user_attrs.get(REASON, "its worker was lost, twice").splitlines()[0][:150]
        found.reasons[reason] = found.reasons.get(reason, 0) + 1


def best(study: Study) -> list[dict[str, Any]]:
    """The best trial, or the front of several objectives, each with its values by figure."""
    names = [*study.plan.directions]
    ended = [t for t in study.counted() if t.state.name == "COMPLETE"]
    if not ended:
        return []
    front = study.study.best_trials if len(names) > 1 else [study.study.best_trial]
    rows = [
        {"trial": t.number, "values": dict(zip(names, t.values, strict=True)), "params": dict(t.params)} for t in front
    ]
    return sorted(rows, key=lambda row: row["values"][names[0]])


def in_words(found: Standing) -> str:
    """The standing as lines of text."""
    lines = [
        f"{found.name}: {found.done} of {found.total} trials done"
        f" ({found.complete} complete, {found.pruned} pruned, {found.failed} failed),"
        f" {len(found.running)} running, {found.waiting} waiting"
        + (f"; {found.lost} begun again" if found.lost else "")
        + (f"; about {duration(found.seconds_left)} left" if found.seconds_left else "")
    ]
    lines += [f"  running  {text}" for text in found.running]
    lines += [f"  failed   {count} x {reason}" for reason, count in found.reasons.items()]
    front = "best   " if len(found.best) == 1 else "front  "
    lines += [f"  {front}  {row_in_words(row)}" for row in found.best[:12]]
    return "\n".join(lines)


def row_in_words(row: Mapping[str, Any]) -> str:
    """One of the best."""
    values = ", ".join(f"{name} {number(value)}" for name, value in row["values"].items())
    return f"trial {row['trial']}: {values}  at  {_plain(row['params'])}"


def _plain(params: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in params.items())


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)
