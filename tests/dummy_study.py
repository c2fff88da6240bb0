"""A study of a function instead of an experiment: what its bookkeeping is tested on, without torch.

As a script it is a worker: `python dummy_study.py FOLDER TOTAL [STORAGE] [ACT]`; ACT is code that each trial runs.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from hybridgen.sweeps.queue.settings import SweepOptions
from hybridgen.sweeps.queue.space import Range, Space
from hybridgen.sweeps.queue.study import Plan, Study
from hybridgen.sweeps.queue.work import work

ROOT = Path(__file__).resolve().parents[1]
SPACE = Space({"x": Range(0.0, 1.0), "n": Range(1, 8)})


def dummy(folder, storage=None, **options):
    """A study that minimises a function of two numbers."""
    plan = Plan("dummy", SPACE, {"loss": "minimize"}, SweepOptions(sampler="random", **options), steps=(1, 2, 3))
    Path(folder).mkdir(parents=True, exist_ok=True)
    return Study(plan, Path(folder), storage)


def loss(params):
    return (params["x"] - 0.3) ** 2 + params["n"]


def note(folder, number, text="begun"):
    """A line in a file that several processes write to."""
    with (Path(folder) / "log.txt").open("a") as file:
        file.write(f"{number} {os.getpid()} {text}\n")


def notes(folder, text="begun"):
    """Numbers of the trials that noted it, in this order."""
    file = Path(folder) / "log.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return [int(line.split()[0]) for line in lines if line.split()[2] == text]


def worker(folder, total, storage="", act="", **environment):
    """A worker in a process of its own."""
    command = [sys.executable, __file__, str(folder), str(total), storage, act]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": path} | environment, stderr=subprocess.PIPE, text=True
    )


def states(study):
    """How many trials ended how; one a task."""
    found = {}
    for trial in study.counted():
        found[trial.state.name] = found.get(trial.state.name, 0) + 1
    return found


def main(folder, total, storage, act):
    study = dummy(folder, storage or None)
    study.open_tickets(int(total))

    def run(number, params, report):
        note(folder, number)
        exec(act, {"number": number, "os": os, "time": time, "Path": Path, "folder": folder, "note": note})
        note(folder, number, "done")
        return {"loss": loss(params)}

    work(study, run)


if __name__ == "__main__":
    main(*sys.argv[1:])
