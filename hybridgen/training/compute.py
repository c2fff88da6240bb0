"""The options of the node `compute`: how many processes share a run, and how."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Over how much a run is spread. It changes neither what is trained nor which pictures are drawn.

    Args:
        devices: processes on a machine, each with a GPU of its own, or with its share of the CPU's cores.
        nodes: machines; more than one are started by torchrun or Slurm, the same command on each.
        strategy: ddp keeps the whole generator in every process; fsdp splits its weights, gradients and optimiser.
    """

    devices: Annotated[int, Ge(1)] = 1
    nodes: Annotated[int, Ge(1)] = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.devices * self.nodes
