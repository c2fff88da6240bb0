"""What a machine with a GPU must show, in at most six minutes, as one table.

    make gpu-check                              # or: python benchmarks/gpu_check.py
    python benchmarks/gpu_check.py --rehearse   # the same on the CPU with shrunken models: the figures mean nothing

1. The demo, 200 steps of each stage in bf16, interrupted and resumed.
2. The same seeds drawn on the CPU and on the GPU by that model.
3. HART-0.7B at 1024 px with random weights: seconds per image, peak memory against what `hybridgen cost` expects.
4. A training step of VAR-d16 on random tokens, with and without `compile`.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from hybridgen.assemble import assemble_data, assemble_model, assemble_sampler
from hybridgen.config.compose import compose
from hybridgen.evaluation.sampling_cost import sampling_cost
from hybridgen.generate.trained import load
from hybridgen.model import HybridModel
from hybridgen.nn.draws import Draws
from hybridgen.types import Tokens

SMALL = {
    "published/hart_0.7b": [
        "data.size=[64,64]", "model.tokenizer.scales=[1,2,4]", "model.backbone.width=48", "model.backbone.depth=1",
        "model.backbone.heads=2",
    ],
    "published/var_d16": ["model.backbone.width=64", "model.backbone.depth=1", "model.backbone.heads=2"],
}  # fmt: skip
SEEDS = list(range(8))
Row = tuple[str, str]


def main() -> None:
    """Runs the checks one after the other; exit code 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with shrunken models")
    args = parser.parse_args()
    if not args.rehearse and not torch.cuda.is_available():
        print("gpu-check: torch sees no GPU here; nothing was run", file=sys.stderr)
        sys.exit(2)
    device = "cpu" if args.rehearse else "cuda"
    print(f"{'a rehearsal on the CPU' if args.rehearse else torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch)
        checks: list[Callable[[], Iterator[Row]]] = [
            lambda: demo_resumed(runs, device, 20 if args.rehearse else 200),
            lambda: same_on_both(runs, device),
            lambda: hart(device, args.rehearse),
            lambda: var_step(device, args.rehearse),
        ]
        for check in checks:
            for name, value in check():
                print(f"{name:58} {value}", flush=True)


def demo_resumed(runs: Path, device: str, steps: int) -> Iterator[Row]:
    """The demo, sent Ctrl-C in the generator's training, and resumed."""
    words = [
        f"train.{stage}.{key}" for stage in ("tokenizer", "generator") for key in (f"steps={steps}", "save_every=10")
    ]
    words += ["precision=bf16", f"device={device}", f"runs={runs}", "metrics.samples=200", "tracking.enabled=false"]
    began = time.perf_counter()
    process = hybridgen("train", "demo", *words)
    checkpoint = None
    while process.poll() is None and checkpoint is None:
        checkpoint = next(runs.glob("demo/*/checkpoint.*"), None)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code = process.wait()
    run = next(runs.glob("demo/*/run.json")).parent
    yield "demo: interrupted in stage 2, exit code", f"{code} (130: stopped by Ctrl-C; 0: it was done before)"
    yield "demo: resumed, exit code", str(hybridgen("resume", str(run)).wait() if code else code)
    yield f"demo: {steps} steps of each stage, both runs together", f"{time.perf_counter() - began:.1f} s"
    yield "demo: a finished model stands", str((run / "model.safetensors").exists())


def same_on_both(runs: Path, device: str) -> Iterator[Row]:
    """Samples of the same seeds, as stored, on both devices; their codes may part where two are equally likely."""
    file = next(runs.glob("demo/*/model.safetensors"))
    drawn = {where: load(file, where).sample(labels=[0] * len(SEEDS), seed=0).cpu() for where in ("cpu", device)}
    off = (drawn["cpu"] - drawn[device]).abs().flatten(1).amax(1)
    yield "same seeds, CPU and GPU: samples within 1/255", f"{int((off <= 1 / 255).sum())} of {len(off)}"
    yield "same seeds, CPU and GPU: largest difference of [-1, 1]", f"{float(off.max()):.2e}"


def hart(device: str, small: bool) -> Iterator[Row]:
    """HART-0.7B by text, random weights and text vectors, batch 1, in bf16."""
    composed, model = built("published/hart_0.7b", device, small)
    cost = sampling_cost(composed)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        condition, sampler = model.conditioner(model.conditioner.blank(1, device), None), assemble_sampler(composed)
        seconds = [clocked(lambda seed=seed: model.sample(condition, [seed], sampler), device) for seed in (0, 1, 2)]
    yield "HART-0.7B, 1024 px: seconds per image, first / later", f"{seconds[0]:.2f} / {min(seconds[1:]):.2f}"
    yield "HART-0.7B: MACs per image, guided", f"{cost.guided['total']:.3e}"
    yield "HART-0.7B: held at once, as cost expects in float32", f"{cost.peak['total'] / 2**30:.2f} GiB"
    if device == "cuda":
        yield "HART-0.7B: peak memory of the GPU", f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB"


def var_step(device: str, small: bool, batch: int = 16) -> Iterator[Row]:
    """Forward, backward and AdamW on random tokens of 256 px, in bf16."""
    batch, steps = (2, 2) if small else (batch, 10)
    _, model = built("published/var_d16", device, small)
    model.train()
    spec = model.tokenizer.spec
    codes = [torch.randint(spec.vocab, (batch, *grid), device=device).flatten(1) for grid in spec.scales]
    tokens = Tokens(torch.randn(batch, spec.channels, *spec.grid, device=device), codes)
    asked = model.conditioner.blank(batch, device)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step(index: int) -> None:
        with torch.autocast(device, torch.bfloat16):
            loss = model.loss(tokens, asked, Draws(0, "generator", index))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    for name in ("plain", "compiled"):
        if name == "compiled":
            model.backbone.compile(dynamic=True)
        first = clocked(lambda: step(0), device)
        later = clocked(lambda: [step(i) for i in range(steps)], device) / steps
        yield f"VAR-d16, {name}: a step of {batch} images, first / later", f"{first:.2f} / {later:.3f} s"


def built(name: str, device: str, small: bool) -> tuple:
    """An experiment and its model with random weights, at rest on the device."""
    composed = compose(name, SMALL[name] if small else [])
    torch.manual_seed(0)
    with torch.device(device):
        model: HybridModel = assemble_model(composed, assemble_data(composed).spec)
    model.tokenizer.requires_grad_(False)
    return composed, model.to(device).eval()


def clocked(do: Callable[[], object], device: str) -> float:
    """Seconds until it is done, also on the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    do()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def hybridgen(*words: str) -> subprocess.Popen:
    """The command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "hybridgen", *words], stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
