"""The options of the node `compute`: how many processes share a run, and how."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Over how much a run is spread. It changes neither what is trained nor which samples are drawn.

    Args:
        devices: processes on a machine, each with a GPU of its own, or with its share of the CPU's cores.
        nodes: machines; more than one are started by torchrun or Slurm, the same command on each.
        workers: processes that read the data ahead, for each process that trains; null: one where samples are read from
            files while it trains, none where they lie in memory.
        strategy: ddp keeps the whole generator in every process; fsdp splits its weights, gradients and optimiser.
    """

    devices: Annotated[int, Ge(1)] = 1
    nodes: Annotated[int, Ge(1)] = 1
    workers: Annotated[int, Ge(0), Le(64)] | None = None
    strategy: Literal["ddp", "fsdp"] = "ddp"

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes

    def readers(self, in_memory: bool) -> int:
        """Processes that read ahead, for data that lie in memory or do not."""
        return (0 if in_memory else 1) if self.workers is None else self.workers
