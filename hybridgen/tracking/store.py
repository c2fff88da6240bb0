"""The one file that speaks to MLflow: runs found or made, values, parameters, files, status.

A run becomes a parent run (config as parameters, files, figures) with a nested run for each stage's curves. Runs are
found by a tag that holds the run folder's own id, so that a lost answer never makes a second one.
"""

import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hybridgen.runs.run import Run, readable
from hybridgen.runs.stored import read_json
from hybridgen.system.errors import UserError, warn

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGES = ("tokenizer", "generator")  # get a nested run; other stages (evaluation, say) are values of the parent
ID = "hybridgen.id"
FOLDER = "hybridgen.folder"  # the tag that says where a run lies
STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the pages are laid out for chat agents
BATCH = 1000  # MLflow's limit of values a call; of parameters it is 100
LONGEST = 6000  # MLflow's limit on a parameter's text
REFUSALS = ("INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "UNAUTHENTICATED")


class Point(NamedTuple):
    """One value: `time` in milliseconds since 1970."""

    name: str
    value: float
    step: int
    time: int


class Store:
    """A run's place in an MLflow store.

    `state`, an argument of its methods, is the part of tracking.json that it fills: `runs` (stage -> MLflow run id, ""
    the parent), `params`.

    Args:
        uri: the tracking URI.
        run: the run folder.
        parent: id of the run that it is nested in, if any.
    """

    def __init__(self, uri: str, run: Run, parent: str = "") -> None:
        self.run, self.parent = run, parent
        self.local = uri.startswith("sqlite:///")
        self.folder = Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts"
        if self.local:
            _probe(uri)
        self.client = connect(uri)
        self.experiment = self._experiment_id()

    @staticmethod
    def is_refusal(error: Exception) -> bool:
        """Whether the store will say the same next time (the run was deleted there, say)."""
        return getattr(error, "error_code", None) in REFUSALS

    @staticmethod
    def is_loss(error: Exception) -> bool:
        """Whether the store does not know what it once had."""
        return getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST"

    def open(self, state: dict[str, Any]) -> None:
        """Find or make the parent run; its parameters are written once, MLflow refuses to change them."""
        from mlflow.entities import Param

        parent = self._run_id(state, "")
        self.client.get_run(parent)  # raises when the store has lost it
        if not state.get("params"):
            params = [Param(key, value) for key, value in flatten(self.run.config).items()]
            for start in range(0, len(params), 100):
                self.client.log_batch(parent, params=params[start : start + 100])
            state["params"] = True

    def send_points(self, state: dict[str, Any], stage: str, points: list[Point]) -> None:
        """Send values to the nested run of their stage."""
        from mlflow.entities import Metric

        known, target = stage in STAGES, self._run_id(state, stage if stage in STAGES else "")
        prefix = f"{stage}/" if stage and not known else ""
        metrics = [Metric(clean(prefix + p.name), float(p.value), p.time, p.step) for p in points]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(target, metrics=metrics[start : start + BATCH])

    def send_file(self, state: dict[str, Any], file: Path, name: str) -> None:
        """Send one file, `name` being its path inside the run folder."""
        folder = name.rpartition("/")[0]
        self.client.log_artifact(self._run_id(state, ""), str(file), folder or None)
        if file == self.run.summary:
            self._send_summary(state)

    def set_status(self, state: dict[str, Any], status: str) -> None:
        """Say how the run and its stages stand."""
        ended = self.run.info["ended"]
        for run_id in state["runs"].values():
            self.client.set_tag(run_id, "hybridgen.status", status)
            if status == "running":
                self.client.update_run(run_id, status="RUNNING")
            else:
                self.client.set_terminated(run_id, STATUS[status], int(1000 * ended) if ended else None)

    def _send_summary(self, state: dict[str, Any]) -> None:
        """The figures of summary.json as values of the parent, so that the table of runs shows them."""
        from mlflow.entities import Metric

        now = self.run.summary.stat().st_mtime_ns // 10**6
        values = {k: v.get("value") for k, v in _figures(self.run).items() if isinstance(v, dict)}
        metrics = [Metric(clean(k), float(v), now, 0) for k, v in values.items() if isinstance(v, int | float)]
        self.client.log_batch(self._run_id(state, ""), metrics=metrics)

    def _run_id(self, state: dict[str, Any], stage: str) -> str:
        runs: dict[str, str] = state.setdefault("runs", {})
        if stage not in runs:
            parent = self._run_id(state, "") if stage else self.parent
            runs[stage] = self._find_or_make(stage, parent)
        return runs[stage]

    def _find_or_make(self, stage: str, parent: str) -> str:
        info = self.run.info
        identity = f"{info['id']}/{stage}"
        found = self.client.search_runs([self.experiment], f"tags.`{ID}` = '{identity}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {ID: identity, FOLDER: str(self.run.path), "mlflow.source.name": info["command"]}
        tags |= {f"version.{name}": version for name, version in info["versions"].items()}
        tags |= {} if stage else {name: str(text)[:LONGEST] for name, text in info.get("tags", {}).items()}
        if info["commit"]:
            tags["mlflow.source.git.commit"] = info["commit"]
        if parent:
            tags["mlflow.parentRunId"] = parent
        started = int(1000 * info["started"])
        return str(self.client.create_run(self.experiment, started, tags, title(self.run, stage)).info.run_id)

    def _experiment_id(self) -> str:
        name = self.run.experiment
        found = self.client.get_experiment_by_name(name)
        if found is None:
            # with SQLite the default place of artifacts would depend on the working directory
            place = (self.folder / name).as_uri() if self.local else None
            return self.client.create_experiment(name, place, KIND)
        if found.lifecycle_stage == "deleted":  # names are unique, the deleted ones included
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id


def find_runs(text: str, root: Path, uri: str | None = None) -> list[Run]:
    """The run folders under `root` whose MLflow runs a filter finds, newest first.

    Args:
        text: in MLflow's language, such as "metrics.frechet < 0.3 and params.seed = '1'".
        root: the runs folder; a folder that was moved is found there by experiment and name.
        uri: the store; None is mlflow.db in `root`.

    Raises:
        UserError: there is no such store, MLflow does not understand the filter, or the folders are gone.
    """
    file = root / "mlflow.db"
    if uri is None and not file.exists():
        raise UserError(f"--filter: there is no {file}; name the store by --uri, or the folder by --runs")
    client = connect(uri or f"sqlite:///{file.absolute()}")
    from mlflow.exceptions import MlflowException

    try:
        experiments = [each.experiment_id for each in client.search_experiments()]
        found = client.search_runs(experiments, text, max_results=BATCH) if experiments else []
    except MlflowException as error:
        raise UserError(f"--filter {text}: {error.message}") from error
    folders = [Path(each.data.tags[FOLDER]) for each in found if FOLDER in each.data.tags]
    moved = [root / folder.parent.name / folder.name for folder in folders]
    there = [next((p for p in pair if (p / "run.json").is_file()), None) for pair in zip(folders, moved, strict=True)]
    if folders and not any(there):
        raise UserError(f"--filter {text}: {folders[0]} and the other folders that it finds are gone")
    return readable(path for path in dict.fromkeys(there) if path is not None)


def _figures(run: Run) -> dict[str, Any]:
    """What summary.json says; nothing where it is damaged, for the rest of the run is sent all the same."""
    try:
        return read_json(run.summary)
    except UserError as error:
        warn(error)
        return {}


def title(run: Run, stage: str = "") -> str:
    """A run's name in the store, what matters first: the table of runs cuts off the end.

    A stage is called `generator 20260101-101500`, a trial `0003 head_steps=4 mlp_width=256`.
    """
    if stage:
        return f"{stage} {run.name}"
    tags = run.info.get("tags", {})
    set_to = [f"{key.rpartition('.')[2]}={tags[key]}" for key in tags if key.startswith("param.")]
    return " ".join([run.name, *set_to])[:250]


def connect(uri: str) -> "MlflowClient":
    """A client that gives up soon: by default MLflow tries a server that is down for minutes."""
    quick = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    for name, value in quick.items():  # read when mlflow is imported; what the user has set stands
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing it sets INFO
    return MlflowClient(tracking_uri=uri)


def _probe(uri: str) -> None:
    """Raise at once where MLflow would try for minutes to open a file that cannot be a database."""
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"), timeout=5)) as database:
        database.execute("create temp table probe (x)")
        database.execute("pragma schema_version").fetchone()


def clean(name: str) -> str:
    """`name` in MLflow's grammar for keys: letters, digits, _ / . - : and blank, at most 250, no `..` in it."""
    parts = [part for part in re.sub(r"[^\w/.: -]", "_", name, flags=re.ASCII).split("/") if part.strip(".")]
    return "/".join(parts)[:250] or "_"


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """A config as MLflow parameters by dotted key; long values end in '...' (config.yaml has them whole)."""
    if isinstance(tree, dict) and tree:
        flat: dict[str, str] = {}
        for key, value in tree.items():
            flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
        return flat
    text = "null" if tree is None else str(tree).lower() if isinstance(tree, bool) else str(tree)
    return {clean(prefix): text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."}
