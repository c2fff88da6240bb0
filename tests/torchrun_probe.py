"""What a process does that torchrun has started, in tests/faults/test_processes.py. Not a test itself."""

import sys
from pathlib import Path

import torch

from hybridgen.system import distributed as ranks
from hybridgen.training.compute import Compute
from hybridgen.training.launch import is_later_rank, together

compute = Compute(devices=2)
with together(compute, torch.device("cpu"), ()):
    seen = ranks.told(lambda: "from the first"), ranks.world(), is_later_rank(compute)
    Path(sys.argv[1], f"{ranks.rank()}.txt").write_text(repr(seen))
