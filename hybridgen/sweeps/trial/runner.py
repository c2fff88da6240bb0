"""What a trial of an experiment is: its overrides composed, run, and written to a folder of its own."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hybridgen.config.compose import Composed
from hybridgen.config.identity import canonical, nodes_that_decide
from hybridgen.runs.run import TRIALS, Run
from hybridgen.sweeps.queue.space import Params, Space
from hybridgen.sweeps.queue.work import Report, reason_of
from hybridgen.sweeps.request.block import Experiment
from hybridgen.sweeps.trial.trial import Say, run_trial
from hybridgen.system.errors import UserError
from hybridgen.workflows.preflight import with_init

ROOT_OF_TRIAL, ROOT_OF_STUDY = "../../../../..", "../../.."  # runs/<experiment>/sweeps/<study>/trials/<number>


@dataclass(frozen=True)
class Runner:
    """Runs trials of one study.

    Args:
        experiment: what is varied.
        space: says what parameters mean.
        folder: of the study.
        watch: the held-out value that the pruner looks at; None where there is no pruner.
        discrete: also judge the codes without the residual.
        say: takes a word on the way.
    """

    experiment: Experiment
    space: Space
    folder: Path
    watch: str | None
    discrete: bool
    say: Say

    def __call__(self, number: int, params: Params, report: Report) -> Mapping[str, float]:
        """The trial's figures."""
        overrides = self.space.overrides(params)
        self.say(f"trial {number}: {' '.join(overrides)}")
        path = self.folder / TRIALS / f"{number:04d}"
        facts: dict[str, Any] = {"root": ROOT_OF_TRIAL, "overrides": overrides}
        facts["tags"] = {"replay": self.replay(overrides), "overrides": " ".join(overrides)}
        facts["tags"] |= {f"param.{name}": str(value) for name, value in params.items()}
        try:
            composed = with_init(self.experiment.compose(overrides))
        except UserError as error:  # the parts do not go together
            self._ended(Run.at(path, {}, {}, **facts), "failed", reason_of(error))
            raise
        return self._run(composed, Run.at(path, composed.config, composed.delta, **facts), report)

    def replay(self, overrides: list[str]) -> str:
        """The command that trains and judges the same again; equal to the bit on a CPU."""
        words = ["hybridgen", "train", self.experiment.name, *self.experiment.overrides, *overrides]
        words += [word for path in self.experiment.registries for word in ("--registry", str(path))]
        threads = os.environ.get("OMP_NUM_THREADS") or str(torch.get_num_threads())
        return f"OMP_NUM_THREADS={threads} {shlex.join(words)}"

    def _run(self, composed: Composed, run: Run, report: Report) -> dict[str, float]:
        from optuna import TrialPruned

        watch = (self.watch, report) if self.watch is not None else None
        try:
            figures = run_trial(composed, run, run.root, self.say, watch, self.discrete)
        except KeyboardInterrupt:
            self._ended(run, "interrupted", "stopped by the user")
            raise
        except TrialPruned as pruned:
            self._ended(run, "interrupted", str(pruned))
            raise
        except Exception as error:
            self._ended(run, "failed", reason_of(error))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise
        run.note(tags=run.info["tags"] | {"evaluate": _evaluate(run, composed), "state": "complete"})
        run.finish()
        return {name: figure.value for name, figure in figures.items()}

    def _ended(self, run: Run, status: Any, reason: str) -> None:
        state = "failed" if status == "failed" else "pruned" if reason.startswith("pruned") else "stopped"
        run.note(reason=reason, tags=run.info["tags"] | {"state": state, "reason": reason})
        run.finish(status)


def _evaluate(run: Run, composed: Composed) -> str:
    """The command that judges the trial's generator again, without training."""
    generator = Run(run.root / run.info["generator"])
    words, stored = ["hybridgen", "evaluate", str(generator.path)], canonical(generator.config)
    for node in nodes_that_decide("sample"):
        mine, theirs = composed.config[node], stored[node]
        if mine.get("card") != theirs.get("card"):
            words.append(f"{node}={json.dumps(mine)}")
        else:
            words += [f"{node}.{key}={json.dumps(value)}" for key, value in mine.items() if theirs.get(key) != value]
    return shlex.join(words)
