"""Tiny experiments for tests: composed here, or run as commands in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from hybridgen.config.compose import compose
from hybridgen.runs.journal import read

ROOT = Path(__file__).resolve().parents[1]
TINY = Path(__file__).with_name("tiny.yaml")
SWEPT = f"""
extends: {TINY}
sweep:
  over:
    model.residual_head.mlp_width: [8, 16]
    sampler.head_steps: [1, 2]
  objectives: {{accuracy: max, macs: min}}
  sampler: grid
"""

# Runs a command whose process does `act` right after it wrote the checkpoint of `stage` at `step`.
AT_A_STEP = """
import os, signal, sys, time
from pathlib import Path
from hybridgen.training.callbacks import Saving
stage, step, act = sys.argv[1], int(sys.argv[2]), sys.argv[3]
after = Saving.after
def then(self, trainer, module):
    after(self, trainer, module)
    if trainer.global_step == step and type(module).__name__.lower().startswith(stage):
        exec(act, globals())
Saving.after = then
from hybridgen.cli import main
sys.exit(main(sys.argv[4:]))
"""


def tiny(*overrides):
    """The tiny experiment."""
    return compose(str(TINY), overrides)


def command(*arguments, at=None):
    """The words that start hybridgen; `at` is (stage, step, code): what the process does at that step."""
    code = AT_A_STEP if at else "import sys; from hybridgen.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, *map(str, at or ()), *map(str, arguments)]


def start(*arguments, cwd, at=None):
    """A hybridgen command at work, with one thread, so that sums keep their order."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(*arguments, at=at), cwd=cwd, env=environment, **pipes)


def wait_for(process, happened, timeout=60):
    """Waits until something has happened while the process lives."""
    end = time.monotonic() + timeout
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def ended(process, timeout=120):
    """Its exit code, what it printed, and what it said on stderr."""
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def interrupt():
    """Ctrl-C in this process."""
    os.kill(os.getpid(), signal.SIGINT)


def weights(folder):
    """The tensors of a run."""
    return load_file(folder / "model.safetensors")


def curves(folder):
    """What a run logged, without the times."""
    return [(line["stage"], line["step"], line["values"]) for line in read(folder / "metrics.jsonl")]


def only(folder):
    """The one thing in a folder that is a run."""
    (found,) = (path.parent for path in folder.glob("*/run.json"))
    return found


def differing(first, second):
    """Names of tensors that are not equal to the bit, or not in both."""
    names = first.keys() | second.keys()
    return sorted(n for n in names if n not in first or n not in second or not first[n].equal(second[n]))
