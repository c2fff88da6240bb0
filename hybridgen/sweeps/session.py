"""A command's dealings with one study: what is ahead, how it stands, work for a worker, all of it."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybridgen.assemble import assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.evaluation.figure_spec import DISCRETE
from hybridgen.runs.run import STUDIES, Run
from hybridgen.sweeps.queue.launch import Workers, supervise
from hybridgen.sweeps.queue.space import Params
from hybridgen.sweeps.queue.storage import JOURNAL
from hybridgen.sweeps.queue.study import TASK, Plan, Study
from hybridgen.sweeps.queue.view import Standing, standing
from hybridgen.sweeps.queue.work import work
from hybridgen.sweeps.request.block import Experiment
from hybridgen.sweeps.request.plan import Foresight, Outlook
from hybridgen.sweeps.request.probe import estimate
from hybridgen.sweeps.trial.runner import ROOT_OF_STUDY, Runner
from hybridgen.system.errors import UserError
from hybridgen.system.files import check_writable, make_folder
from hybridgen.system.text import duration
from hybridgen.tracking.process import Mirror, start_mirror
from hybridgen.workflows.preflight import check_ready, with_init

Say = Callable[[str], None]
Launch = Callable[[Sequence[str], int, Path], Workers]
OPEN = ("WAITING", "RUNNING")


@dataclass(frozen=True)
class Session:
    """One study of an experiment, as a command sees it.

    Args:
        experiment: what is varied.
        composed: the experiment as it stands.
        plan: of the study.
        trials: how many there are to be in all; None for as many as time allows.
        figures: those that are wanted of each trial.
        storage: a database's URL, a journal's path, or None for the journal in the study's folder.
    """

    experiment: Experiment
    composed: Composed
    plan: Plan
    trials: int | None
    figures: tuple[str, ...]
    storage: str | None = None

    @property
    def root(self) -> Path:
        """The runs folder."""
        return Path(self.composed.config["runs"]).absolute()

    @property
    def folder(self) -> Path:
        """The study's; trials are numbered by the storage, so each storage has a folder of its own."""
        kept = "" if self.storage is None else f"-{hashlib.sha256(self.storage.encode()).hexdigest()[:4]}"
        return self.root / self.composed.name / STUDIES / f"{self.plan.name}{kept}"

    @property
    def discrete(self) -> bool:
        """Whether codes alone are judged too."""
        return any(name.endswith(DISCRETE) for name in self.figures)

    def study(self) -> Study:
        """The study, opened or made."""
        make_folder(self.folder)
        return Study(self.plan, self.folder, self.storage)

    def exists(self) -> bool:
        """Whether somebody has begun it."""
        return self.storage is not None or (self.folder / JOURNAL).exists()

    def outlook(self) -> Outlook:
        """What is still to be done; nothing is written."""
        check_ready(with_init(self.composed))
        done: set[int] = set()
        if self.exists():
            done = {t.user_attrs[TASK] for t in self.study().counted() if t.state.name not in OPEN}
        total = self.trials or len(done) + 1
        tasks = self.plan.tasks
        todo: list[Params] | None = None
        if tasks is not None:
            todo = [tasks[task] for task in range(total) if task not in done]
        return Foresight(self.experiment, self.root).look(self.plan.space, todo, max(0, total - len(done)))

    def seconds(self, outlook: Outlook) -> float:
        """How long that takes, from a probe."""
        return estimate(outlook, self.discrete)

    def standing(self) -> Standing:
        """How the study stands."""
        if not self.exists():
            raise UserError(f"{self.folder}: this study has not been begun; leave --status out to begin it")
        return standing(self.study(), self.trials or 0)

    def work(self, say: Say, until: float | None) -> int:
        """What a worker process does; how many trials it began."""
        watch = self.plan.options.watch if self.plan.options.pruner is not None else None
        runner = Runner(self.experiment, self.plan.space, self.folder, watch, self.discrete, say)
        late = lambda: until is not None and time.time() > until  # noqa: E731
        study = self.study()
        study.open_tickets(self.trials or 0)
        return work(study, runner, late, unbounded=self.trials is None)

    def go(
        self, words: list[str], workers: int, say: Say, until: float | None, launch: Launch = Workers
    ) -> tuple[Standing, Mirror]:
        """Runs the study with workers started by `words`; how it stands then.

        Raises:
            UserError: the workers died before the work was done.
        """
        check_writable(self.root, "runs")
        check_ready(with_init(self.composed))
        study = self.study()
        run = Run.at(self.folder, self.composed.config, self.composed.delta, **self.facts())
        run.resume()
        mirror = start_mirror(run, assemble_settings(self.composed, "tracking"))
        crew = launch([*words, *(["--until", str(until)] if until is not None else [])], workers, self.folder)
        try:
            found = supervise(study, crew, self.trials, say, until)
        except BaseException as error:
            run.finish("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        if crew.worn_out and found.waiting:
            run.finish("failed")
            last = crew.last_words().strip().splitlines()[-3:]
            raise UserError("\n  ".join([f"the workers ended before the work was done; see {crew.log(0)}", *last]))
        return found, mirror

    def facts(self) -> dict[str, Any]:
        """What the study's run.json says beside the rest; its id is the same on every host."""
        told = f"{self.plan.name} {self.storage or self.folder}"
        tags: Mapping[str, str] = {"study": self.plan.name}
        return {
            "root": ROOT_OF_STUDY,
            "id": hashlib.sha256(told.encode()).hexdigest()[:32],
            "tags": tags,
            "search": self.plan.search,
        }


def check_budget(seconds: float, budget: float | None) -> None:
    """Raises `UserError` when the estimate is above the budget."""
    if budget is not None and seconds > budget:
        needed, allowed = duration(seconds, rough=True), duration(budget, rough=True)
        raise UserError(f"--budget: about {needed} are needed, and {allowed} are allowed; nothing ran")
