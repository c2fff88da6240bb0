"""Two processes train what one trains, and draw the same pictures.

Two processes on this machine, connected by gloo, do all their work in one go (gloo_worker.py); the tests compare it
with what this process does alone. Without dropout only the order of sums differs between them.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gloo_worker import draw
from tiny_run import ROOT, curves
from tiny_stage import STEPS, few_examples, train

from hybridgen.nn.draws import Draws
from hybridgen.system import distributed
from hybridgen.system.errors import UserError
from hybridgen.training.compute import Compute
from hybridgen.training.launch import NAMES, is_later_rank, together

CPU = torch.device("cpu")
ROUNDING = 1e-5  # relative; seen: 2e-7. A gradient that is not shared moves losses by 1e-2.
WAYS = [("tokenizer", "ddp"), ("adversary", "ddp"), ("generator", "ddp"), ("generator", "fsdp")]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder where two processes left their runs, and what each of them kept."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    shared = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "gloo_worker.py"), str(folder)],
            env=os.environ | shared | {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    for process in processes:
        _, said = process.communicate(timeout=1000)
        assert process.returncode == 0, said
    return folder, [torch.load(folder / f"kept{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What this process trains alone: weights and curves of each stage."""
    found = {}
    for name in ("tokenizer", "adversary", "generator"):
        folder = tmp_path_factory.mktemp("alone") / name
        module, _ = train(name, folder, examples=few_examples())
        found[name] = module.state_dict(), curves(folder)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("how", ["whole", "broken"])
@pytest.mark.parametrize(("name", "strategy"), WAYS)
def test_two_processes_train_what_one_does(two, alone, name, strategy, how):
    """Losses, held-out looks at averaged weights, learning rates; also when killed between two checkpoints."""
    expected = alone[name][1]
    found = curves(two[0] / f"{name}_{strategy}_{how}")
    assert [line[:2] for line in found] == [line[:2] for line in expected], "each line is written once"
    assert {step for _, step, values in found if "train/loss" in values} == set(range(1, STEPS + 1))
    for (_, step, values), (_, _, theirs) in zip(expected, found, strict=True):
        for key, value in values.items():
            assert theirs[key] == pytest.approx(value, rel=ROUNDING), f"{key} at step {step}"


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("how", ["whole", "broken"])
@pytest.mark.parametrize(("name", "strategy"), WAYS)
def test_two_processes_end_with_the_same_averages(two, alone, name, strategy, how):
    for key, value in alone[name][0].items():
        first, second = (kept[f"{name}_{strategy}_{how}.{key}"] for kept in two[1])
        assert first.equal(second), f"{key} is the same on both"
        torch.testing.assert_close(first, value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_processes_draw_the_pictures_of_one(two):
    """To the bit: a batch is the same wherever it is drawn."""
    alone = draw()
    assert len(alone) == 17
    assert alone.float().std() > 10, "they are not all grey"
    assert all(kept["pictures"].equal(alone) for kept in two[1])


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_processes_tell_each_other(two):
    for rank in (0, 1):
        facts = json.loads((two[0] / f"facts{rank}.json").read_text())
        assert facts["told"] == {"from": 0, "text": "é"}
        assert facts["votes"] == [True, False]
        assert facts["means"] == {"rank": 0.5}
        assert facts["gathered"] == [[0], [1]]


def test_alone_nothing_is_asked_for():
    """One process: no connection, no copy, the same numbers."""
    x = torch.arange(3)
    assert (distributed.rank(), distributed.world(), distributed.is_first()) == (0, 1, True)
    assert distributed.all_gather(x) is x
    assert Draws("x").everyone(x) is x
    assert distributed.broadcast(lambda: Path("x")) == Path("x")
    assert distributed.all_mean({"a": torch.tensor(0.1)}) == {"a": torch.tensor(0.1).item()}
    made = distributed.map_over_ranks(
        5, 2, lambda cut: torch.arange(cut.start, cut.stop).to(torch.uint8)[:, None], (1,)
    )
    assert made.flatten().tolist() == [0, 1, 2, 3, 4]
    with together(Compute(), CPU, ()):
        assert not torch.distributed.is_initialized()


def test_training_without_the_others_is_refused(tmp_path):
    """Lightning would start them itself, in the middle of things and by this process's own command."""
    with pytest.raises(UserError, match=r"2 processes are asked for, and 1 is here"):
        train("generator", tmp_path, examples=few_examples(), compute=Compute(devices=2))


@pytest.mark.parametrize(
    ("environment", "compute", "said"),
    [
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "4"}, {}, "the launcher started 4"),
        ({"LOCAL_RANK": "0", "WORLD_SIZE": "4"}, {"devices": 2}, "N x M = 4"),
        ({}, {"devices": 2, "nodes": 2}, "compute.nodes: 2 machines are started by torchrun or Slurm"),
    ],
)
def test_a_launcher_that_does_not_fit_is_named(monkeypatch, environment, compute, said):
    for name in (*NAMES, "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=said), together(Compute(**compute), CPU, ()):
        pass


@pytest.mark.parametrize(
    ("environment", "later"),
    [
        ({}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, False),
        ({"LOCAL_RANK": "1"}, True),
        ({"RANK": "8", "LOCAL_RANK": "0"}, True),
        ({"SLURM_PROCID": "3"}, True),
    ],
)
def test_later_processes_know_it_before_they_are_connected(environment, later):
    assert is_later_rank(Compute(devices=2), environment) is later
    assert not is_later_rank(Compute(), environment), "tasks of a job that have nothing to do with each other"
