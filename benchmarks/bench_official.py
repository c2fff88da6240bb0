"""Sampling against the official code on the same weights, batch 1, float32: at most 1.02 times its time.

    git clone https://github.com/mit-han-lab/hart DIR/HART && git -C DIR/HART checkout e28a41f
    git clone https://github.com/FoundationVision/VAR DIR/VAR && git -C DIR/VAR checkout 78b9539
    git clone https://github.com/LTH14/mar DIR/MAR && git -C DIR/MAR checkout fe470ac
    git clone https://github.com/FoundationVision/LlamaGen DIR/LlamaGen && git -C DIR/LlamaGen checkout ce98ec4
    git clone https://github.com/facebookresearch/DiT DIR/DiT && git -C DIR/DiT checkout ed81ce2
    git clone https://github.com/willisma/SiT DIR/SiT && git -C DIR/SiT checkout 947f95b
    HYBRIDGEN_SHARED=SHARED python benchmarks/bench_official.py --checkouts DIR --threads 1 [--clock cpu] [--only NAME]

Without checkouts it says so and measures nothing. The tiny cases are those of the parity tests (SHARED/refs); VAR-d16
and MAR-B's head have random weights. Before timing, both sample with every draw replaced by the same constant and codes
by the likeliest, and must agree. What is absent and not needed on a CPU is stubbed in this process: the `transformers`
base classes, `torchdiffeq` (imported, not called), and HART's CUDA kernel of a root mean square norm, by torch's own.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from common import ratio
from official import constant_draws, modules_of, on_cpu
from official_pairs import FAMILIES, Pair, Run, refs

BAR = 1.02
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Prints one ratio a family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkouts", type=Path, help="folder of the official repositories, cloned as above")
    parser.add_argument("--only", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: where other programs run beside it")
    options = parser.parse_args()
    if options.checkouts is None or not refs().is_dir():
        print("nothing measured: needs --checkouts DIR and the reference data (HYBRIDGEN_SHARED); see the docstring")
        return
    torch.set_num_threads(options.threads)
    print(f"{torch.get_num_threads()} threads for both, {options.clock} clock, torch {torch.__version__}; ours, theirs")
    warnings.filterwarnings("ignore", category=FutureWarning)  # LlamaGen's attention context is deprecated
    missed = [name for name in options.only if not _measured(name, options)]
    print(f"over {BAR}: {', '.join(missed) or 'none'}")


def _measured(name: str, options: argparse.Namespace) -> bool:
    """Whether a family holds the bar; one without its checkout is passed over."""
    (folder, make), checkouts = FAMILIES[name], options.checkouts
    if not (checkouts / folder).is_dir():
        print(f"{name:44} skipped: no {checkouts / folder}")
        return True
    with modules_of(checkouts / folder), on_cpu():
        pair = make()
        error = agreement(pair)
        clock, title = CLOCKS[options.clock], f"{name} (agree to {error:.0e})"
        runs = (lambda: timed(pair.ours, clock), lambda: timed(pair.theirs, clock))
        return ratio(title, *runs, options.rounds) <= BAR


def agreement(pair: Pair) -> float:
    """Largest difference of the two outputs, in units of the largest value; beyond rounding it is an error."""
    with constant_draws():
        ours, theirs = pair.ours(True), pair.theirs(True)
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    if not error <= pair.rounding:
        raise SystemExit(f"the outputs differ by {error:.2g} of their largest value: not the same computation")
    return error


def timed(run: Run, clock: Callable[[], float]) -> float:
    """Seconds of a run with its usual draws."""
    began = clock()
    run(False)
    return clock() - began


if __name__ == "__main__":
    main()
