"""What every test may lean on: one thread, fast tests first, the reference data if at hand, untouched random states."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure():
    """One thread: sums keep their order, so equal inputs give equal bits."""
    torch.set_num_threads(1)
    os.environ.setdefault("HYBRIDGEN_OVERSUBSCRIBE", "1")  # two processes are tested on a single core too


def pytest_collection_modifyitems(items):
    """Fast tests first, in the order of their files; then the slow ones."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def root():
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data: too large, or not ours, to ship. Tests that read it skip where it is absent."""
    place = Path(os.environ.get("HYBRIDGEN_SHARED", ROOT.parent / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"no reference data at {place} (set HYBRIDGEN_SHARED)")
    return place


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory):
    """A folder of runs with one of the tiny experiment, trained, drawn and judged in one go. Read it, never write."""
    from tiny_run import TINY

    from hybridgen.cli import main

    folder = tmp_path_factory.mktemp("tiny") / "runs"
    assert main(["train", str(TINY), f"runs={folder}"]) == 0
    return folder


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """Trains the tiny experiment until a step of a stage, where it does something; gives the exit code and the run."""
    from tiny_run import TINY, only

    from hybridgen.cli import main
    from hybridgen.runs.run import Run
    from hybridgen.training.callbacks import Saving

    monkeypatch.chdir(tmp_path)
    after = Saving.after

    def run(stage, step, act):
        def then(self, trainer, module):
            after(self, trainer, module)
            if trainer.global_step == step and type(module).__name__.lower().startswith(stage):
                act()

        with monkeypatch.context() as patch:
            patch.setattr(Saving, "after", then)
            code = main(["train", str(TINY)])
        return code, Run(only(tmp_path / "runs/tiny"))

    return run


@pytest.fixture
def untouched_randomness():
    """Fails when the test's code drew from, or seeded, a global generator."""
    before = _random_states()
    yield
    changed = [name for name, state in _random_states().items() if state != before[name]]
    assert not changed, f"global random state changed: {', '.join(changed)}"


def _random_states():
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the legacy state is what is guarded
    return {
        "python": random.getstate(),
        "numpy": (kind, keys.tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
