"""The other processes of a run: started where nobody has done so, connected, and never left behind.

A launcher (torchrun, srun, or this) runs the same command once a process. Lightning would start the others in the
middle of the first `fit`, where the first process already holds locks and has made folders; here they start before.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import IO

import torch
from torch import distributed

from hybridgen.system.child_processes import PARENT, check_count, child_environment
from hybridgen.system.distributed import barrier
from hybridgen.system.errors import UserError
from hybridgen.training.compute import Compute

PATIENCE = timedelta(hours=12)  # the first process may wait as long for a tokenizer that another run trains
NAMES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "WORLD_SIZE", "RANK", "LOCAL_RANK")
TAIL = 3000  # characters of what a failed process said


def is_later_rank(compute: Compute, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started this process as another than the first; known before any is connected."""
    told = (int(environment.get(name, 0)) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return compute.world > 1 and any(number > 0 for number in told)


@contextmanager
def together(compute: Compute, device: torch.device, words: Sequence[str]) -> Iterator[None]:
    """Inside this block all processes of the run are connected. One process alone: nothing happens.

    Args:
        compute: how many there are.
        device: what kind of device each uses.
        words: what the command line said, for the processes that are started here.

    Raises:
        UserError: a launcher has started another number of processes, there are too few GPUs, or one of the others
            failed for a reason that the user can mend.
    """
    _check(compute, device)
    if compute.world == 1:
        yield
        return
    before = {name: os.environ.get(name) for name in NAMES}
    others = _Others() if "LOCAL_RANK" in os.environ or _slurm() else _Others.start(compute, words)
    try:
        _connect(compute, device)
        yield
        barrier()
    except BaseException as error:
        others.stop()
        others.explain(error)
        raise
    else:
        others.wait()
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _Others:
    """The processes that this one has started; none where a launcher did."""

    def __init__(self) -> None:
        self.processes: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        self.lost: list[int] = []  # those that failed by themselves

    @classmethod
    def start(cls, compute: Compute, words: Sequence[str]) -> "_Others":
        if compute.nodes > 1:
            raise UserError(
                f"compute.nodes: {compute.nodes} machines are started by torchrun or Slurm, and neither is seen here"
                f"\n  on each: torchrun --nnodes {compute.nodes} --nproc-per-node {compute.devices} ... -m hybridgen"
            )
        others = cls()
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "NODE_RANK": "0"}
        os.environ.update(shared | {"WORLD_SIZE": str(compute.world), "RANK": "0", "LOCAL_RANK": "0"})
        try:
            for number in range(1, compute.devices):
                others.processes.append(_started(number, words))
        except BaseException:
            others.stop()
            raise
        return others

    def wait(self) -> None:
        """They end by themselves, a moment after the last word."""
        for process, said in self.processes:
            process.wait()
            said.close()

    def stop(self) -> None:
        """At once: they may wait for a process that will not answer. Those that are about to end are let."""
        end = time.monotonic() + 2
        while time.monotonic() < end and any(process.poll() is None for process, _ in self.processes):
            time.sleep(0.05)
        self.lost = [i for i, (process, _) in enumerate(self.processes, start=1) if process.poll()]
        for process, _ in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def explain(self, error: BaseException) -> None:
        """Where one of the others failed first, this process only lost it: tell what that one said."""
        if isinstance(error, UserError | KeyboardInterrupt):
            return
        for number in self.lost:
            process, said = self.processes[number - 1]
            said.seek(0)
            text = said.read().decode(errors="replace").strip()[-TAIL:]
            raise UserError(f"process {number} of the run ended with code {process.returncode}:\n{text}") from error


def _started(number: int, words: Sequence[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """One more process of this run, and the file that it speaks to."""
    environment = child_environment(RANK=str(number), LOCAL_RANK=str(number), **{PARENT: str(os.getpid())})
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
    # a session of its own: Ctrl-C reaches the first process alone, and it decides for all
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "hybridgen", *words],
        env=environment, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
    )  # fmt: skip
    return process, said


def _connect(compute: Compute, device: torch.device) -> None:
    slurm = _slurm()
    if slurm:
        os.environ.update(slurm)
    local = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        torch.cuda.set_device(local)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // compute.devices))
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)


def _check(compute: Compute, device: torch.device) -> None:
    started = int(os.environ.get("WORLD_SIZE", 1)) if "LOCAL_RANK" in os.environ else 0
    if started and started != compute.world:
        raise UserError(
            f"compute: {compute.devices} x {compute.nodes} processes, but the launcher started {started}"
            f"\n  say compute.devices=N compute.nodes=M with N x M = {started}"
        )
    there = torch.cuda.device_count()
    if device.type == "cuda" and compute.devices > max(1, there):
        raise UserError(f"compute.devices: {compute.devices}, but there are {there} GPUs here")
    if device.type != "cuda" and not started and not _slurm():
        check_count(compute.devices, "compute.devices")


def _slurm() -> dict[str, str]:
    """torchrun's variables from those of `srun`, one task a process; empty elsewhere."""
    if "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) < 2 or "SLURM_PROCID" not in os.environ:
        return {}
    from lightning_fabric.plugins.environments import SLURMEnvironment

    there = SLURMEnvironment()
    return {
        "MASTER_ADDR": there.main_address, "MASTER_PORT": str(there.main_port), "RANK": str(there.global_rank()),
        "LOCAL_RANK": str(there.local_rank()), "WORLD_SIZE": str(there.world_size()),
        "NODE_RANK": str(there.node_rank()),
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
