"""Peak resident memory of `hybridgen train` on a folder of 40,000 JPEGs against one of 4,000: at most 1.1, and 1.5 GB.

    python benchmarks/memory.py [--folder DIR]

The whole command, with its readers, in processes of its own; memory is the sum over them of what is resident, looked
at every tenth of a second; a page that several share is counted once (PSS). Few steps are trained: memory does not grow
with steps; and batches are small, so that what a step holds does not hide what the data hold. Needs Linux.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from images import generate

COUNTS = (4_000, 40_000)
SETTINGS = (
    "data.medium.size=64", "model.tokenizer.scales=[1,2,4,8,16]", "tokens=disk", "train.tokenizer.steps=30",
    "train.generator.steps=30", "train.tokenizer.batch=8", "train.generator.batch=8", "train.generator.flip=false",
    "train.generator.sample_every=1000", "metrics.samples=200", "tracking.enabled=false",
    "compute.workers=1",
)  # fmt: skip


def main() -> None:
    """Prints the peak for each count, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the files are made and left")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (args.folder or Path(scratch)).resolve()
        peaks = []
        for count in COUNTS:
            photos = generate(root / f"photos_{count}", count)
            peaks.append(peak([f"data.root={photos}", f"runs={scratch}/runs", *SETTINGS]))
            print(f"{count:7,} files   peak {peaks[-1] / 2**20:7.0f} MiB", flush=True)
        print(f"ratio {peaks[1] / peaks[0]:.3f} (bar 1.1), {peaks[1] / 1e9:.2f} GB (bar 1.5)")


def peak(words: list[str]) -> int:
    """Most bytes that the command and its children hold at once."""
    command = [sys.executable, "-m", "hybridgen", "train", "hart_folder", *words]
    process, most = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), 0
    while process.poll() is None:
        most = max(most, sum(map(resident, family(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        assert process.stderr is not None, "it is piped"
        sys.exit(f"the command failed:\n{process.stderr.read().decode()[-2000:]}")
    return most


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for each in found:
        try:
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    """Bytes of a process in memory, its share of what others use as well."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
