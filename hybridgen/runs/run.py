"""A run folder: everything that one training run writes, and the only truth about it.

    runs/<experiment>/<YYYYmmdd-HHMMSS[-n]>/
        run.json            status, process, versions, commit, command
        config.yaml         resolved; delta.yaml: what the user changed
        metrics.jsonl       the curves (journal.py)
        samples/  checkpoints/last.ckpt  model.safetensors  summary.json  report.html

A tokenizer's folder, runs/tokenizers/<hash>/, is a `Run` too. A run that uses it links to it, and then shows its
metrics as its own stage. So is a study's, runs/<experiment>/sweeps/<study>/; its trials/<number>/ are its children.
Trackers read the folder; nobody but the training process writes to it (tracking.json apart).
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import yaml

from hybridgen.runs.environment import command_line, git_commit, versions
from hybridgen.runs.journal import append, read, rewind
from hybridgen.runs.stored import read_info, read_tree
from hybridgen.system.errors import UserError, unknown, warn
from hybridgen.system.files import lock, make_folder, process_start, remove_leftovers, write_atomic, writing

Status = Literal["running", "finished", "failed", "interrupted"]
TOKENIZERS = "tokenizers"  # the folder under runs/ that holds tokenizers by hash, not an experiment's runs
GENERATORS = "generators"  # the same for the generators that sweeps train
STUDIES = "sweeps"  # the folder under runs/<experiment>/ that holds its studies
TRIALS = "trials"  # the folder in a study that holds its trials


class Run:
    """One run folder.

    Args:
        path: the folder; it must exist (`create`, `at` and `open` see to that).
        writes: False for the later processes of a run that several share: what they would write, the first one does.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self.path, self.writes = path.resolve(), writes

    @classmethod
    def create(cls, root: Path, experiment: str, config: Mapping[str, Any], delta: Mapping[str, Any]) -> "Run":
        """A new folder under `root`/`experiment`, named by the time; two processes at once never get the same one."""
        name, parent, n = datetime.now().strftime("%Y%m%d-%H%M%S"), root / experiment, 1
        make_folder(parent)
        path = parent / name
        while not _made(path):
            n += 1
            path = parent / f"{name}-{n}"
        return cls(path)._fill(config, delta)

    @classmethod
    def at(cls, path: Path, config: Mapping[str, Any], delta: Mapping[str, Any], **facts: Any) -> "Run":
        """The folder `path`: as it stands when it is a run already, else made one. Hold a lock where two may call.

        `facts` are further fields of a new run.json: `root`, the way to the runs folder where not ../..; `tags`.
        """
        if (path / "run.json").is_file():
            return cls(path)
        make_folder(path)
        return cls(path)._fill(config, delta, facts)

    @classmethod
    def open(cls, name: str | Path, root: Path = Path("runs")) -> "Run":
        """The run that `name` means: a folder (or a file in it), `experiment/run`, or `experiment`: its latest run.

        Raises:
            UserError: there is none, or its run.json is damaged.
        """
        near = [Path(name).parent] if Path(name).is_file() else []
        for path in [Path(name), *near, root / name] if str(name).strip() else []:
            if (path / "run.json").is_file():
                return cls(path)._checked()
        for parent in (root / name, Path(name)) if str(name).strip() else ():
            if found := runs_in(parent):
                return cls(found[-1])._checked()
        raise UserError(_not_found(str(name), root))

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def experiment(self) -> str:
        """The experiment that it is a run of."""
        return self.path.relative_to(self.root).parts[0]

    @property
    def root(self) -> Path:
        """The runs folder that it lies in."""
        return Path(os.path.normpath(self.path / self.info.get("root", "../..")))

    @property
    def children(self) -> list["Run"]:
        """The trials of a study, oldest first."""
        return readable(runs_in(self.path / TRIALS))

    @property
    def samples(self) -> Path:
        """Folder of the samples drawn while training."""
        return self.path / "samples"

    @property
    def checkpoint(self) -> Path:
        """What `resume` goes on from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def model(self) -> Path:
        """The weights, with the config inside."""
        return self.path / "model.safetensors"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """The figures with their protocols."""
        return self.path / "summary.json"

    @property
    def metrics_file(self) -> Path:
        """This folder's own metrics, without those of linked runs."""
        return self.path / "metrics.jsonl"

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        return read_tree(self.path / "config.yaml")

    @property
    def delta(self) -> dict[str, Any]:
        """What the user changed."""
        return read_tree(self.path / "delta.yaml")

    @property
    def info(self) -> dict[str, Any]:
        """What run.json says."""
        return read_info(self.path)

    @property
    def status(self) -> Status:
        """How it stands; `interrupted` also when its process died without a word."""
        info = self.info
        status: Status = info["status"]
        here = info["host"] == socket.gethostname()  # a process on another machine cannot be asked
        if status == "running" and here and process_start(info["pid"]) != info["pid_start"]:
            return "interrupted"
        return status

    def hold(self) -> AbstractContextManager[None]:
        """The right to train in this folder; raises `LockedError`, naming the holder, when another process has it."""
        return lock(self.path / ".lock", wait=False) if self.writes else nullcontext()

    def log(self, step: int, values: Mapping[str, float], stage: str) -> None:
        """Append a line to the journal; it outlives kill -9 of this process."""
        if self.writes:
            append(self.metrics_file, step, values, stage)

    def metrics(self) -> list[dict[str, Any]]:
        """All lines, those of linked runs first; torn ones are left out."""
        return [line for file in self.sources() for line in read(file)]

    def sources(self) -> list[Path]:
        """The files that metrics come from: of linked runs, then its own."""
        links = self.info["links"].values()
        return [(self.path / link / "metrics.jsonl").resolve() for link in links] + [self.metrics_file]

    def rewind(self, stage: str, step: int) -> None:
        """Drop the lines of `stage` after `step` (-1: all of them), so that a resumed curve has no doubles."""
        if self.writes:
            rewind(self.metrics_file, stage, step)

    def link(self, stage: str, other: "Run") -> None:
        """Say that `stage` was trained in another folder; its metrics count as this run's."""
        links = self.info["links"] | {stage: os.path.relpath(other.path, self.path)}
        self.note(links=links)

    def note(self, **fields: Any) -> None:
        """Set fields of run.json."""
        if self.writes:
            write_atomic(self.path / "run.json", json.dumps(self.info | fields, indent=1) + "\n")

    def resume(self) -> None:
        """Say that this process goes on with the run, and sweep up what a killed one left half-written."""
        for folder in (self.path, self.checkpoint.parent, self.samples) if self.writes else ():
            remove_leftovers(folder)
        self.note(**_process(), status="running", ended=None, command=command_line())

    def finish(self, status: Status = "finished") -> None:
        """Say how it ended."""
        self.note(status=status, ended=time.time())

    def _checked(self) -> "Run":
        """The run itself; raises `UserError` when its run.json is damaged."""
        read_info(self.path)
        return self

    def _fill(
        self, config: Mapping[str, Any], delta: Mapping[str, Any], facts: Mapping[str, Any] | None = None
    ) -> "Run":
        make_folder(self.samples)
        for name, tree in (("config.yaml", config), ("delta.yaml", delta)):
            write_atomic(self.path / name, yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True))
        info = {"id": uuid4().hex, "status": "running", "started": time.time(), "ended": None, **_process()}
        info |= {
            "commit": git_commit(),
            "versions": versions(),
            "command": command_line(),
            "links": {},
            **(facts or {}),
        }
        write_atomic(self.path / "run.json", json.dumps(info, indent=1) + "\n")  # last: what has it is a whole run
        return self


def find_weights(name: str | Path, root: Path = Path("runs")) -> Path:
    """The weights file that `name` means: one that is named .safetensors, else that of a run, else any other file.

    Raises:
        UserError: there is none of that name; a run of that name has none yet.
    """
    if Path(name).suffix == ".safetensors":
        return Path(name)
    try:
        run = Run.open(name, root)
    except UserError:
        if Path(name).is_file() and not (Path(name).parent / "run.json").is_file():
            return Path(name)
        raise
    if not run.model.exists():
        raise UserError(f"{run.model}: this run has no weights yet; finish it with `hybridgen resume {run.path}`")
    return run.model


def runs_in(folder: Path) -> list[Path]:
    """The run folders directly in `folder`, oldest first."""
    found = [path.parent for path in folder.glob("*/run.json")] if folder.is_dir() else []
    return sorted(found, key=_moment)


def experiments_in(root: Path) -> list[str]:
    """Names of the experiments that have runs under `root`."""
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [path.name for path in folders if path.name not in (TOKENIZERS, GENERATORS) and all_runs(path)]


def all_runs(folder: Path) -> list[Path]:
    """The runs of an experiment, then its studies."""
    return runs_in(folder) + runs_in(folder / STUDIES)


def readable(folders: Iterable[Path]) -> list[Run]:
    """The runs whose run.json can be read; a damaged one is left out with a warning and does not disturb the others."""
    runs = []
    for folder in folders:
        try:
            runs.append(Run(folder)._checked())
        except UserError as error:
            warn(f"{str(error).splitlines()[0]}; this run is left out")
    return runs


def _moment(path: Path) -> tuple[str, int]:
    """Sorts 20250101-120000-10 after 20250101-120000-9."""
    day, _, rest = path.name.partition("-")
    second, _, n = rest.partition("-")
    return f"{day}-{second}", int(n) if n.isdigit() else 1


def _made(path: Path) -> bool:
    with writing(path), suppress(FileExistsError):
        path.mkdir()
        return True
    return False


def _process() -> dict[str, Any]:
    return {"pid": os.getpid(), "pid_start": process_start(os.getpid()), "host": socket.gethostname()}


def _not_found(name: str, root: Path) -> str:
    experiment = name.strip("/").split("/")[0]
    if found := runs_in(root / experiment):
        return unknown("run", name, (f"{experiment}/{path.name}" for path in found[-8:]), str(root))
    if known := experiments_in(root):
        return unknown("run", name, known, str(root))
    return f"{root}: no run '{name}', and no other run there either.\n  Make one with `hybridgen train EXPERIMENT`."
