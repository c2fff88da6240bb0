"""What a process does that torchrun has started, in tests/faults/test_processes.py. Not a test itself."""

import sys
from pathlib import Path

import torch

from hybridgen.system import distributed
from hybridgen.training.compute import Compute
from hybridgen.training.launch import is_later_rank, together

compute = Compute(devices=2)
with together(compute, torch.device("cpu"), ()):
    seen = distributed.broadcast(lambda: "from the first"), distributed.world(), is_later_rank(compute)
    Path(sys.argv[1], f"{distributed.rank()}.txt").write_text(repr(seen))
