"""The sweep of head sizes by steps against training each of its trials: at most 15 minutes on 2 quiet cores.

    python benchmarks/sweep.py [--workers 2] [--runs FOLDER]

The sweep runs and is timed. What training each trial anew would take is not run but reckoned from the same study: each
trial's own evaluation, plus the training of the generator that it used (and of the tokenizer, told apart). A tokenizer
that lies in FOLDER already, such as the demo's, is reused; without --runs everything is trained in a new folder.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hybridgen.runs.run import STUDIES, TOKENIZERS, Run, runs_in

EXPERIMENT = "ablations/head_size_by_steps"


def main() -> None:
    """Prints both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        root = args.runs or Path(fresh)
        known = len(runs_in(root / TOKENIZERS))
        began = time.perf_counter()
        words = ["sweep", EXPERIMENT, "--workers", str(args.workers), f"runs={root}", "tracking.enabled=false"]
        subprocess.run([sys.executable, "-m", "hybridgen", *words], check=True)
        wall = time.perf_counter() - began
        study = max((root / "head_size_by_steps" / STUDIES).glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        tell(Run(study.parent), root, wall, args.workers, len(runs_in(root / TOKENIZERS)) - known)


def tell(study: Run, root: Path, wall: float, workers: int, tokenizers: int) -> None:
    """What was measured, and what is reckoned from it."""
    trials = [trial for trial in study.children if trial.status == "finished"]
    generators = {trial.info["generator"]: seconds(Run(root / trial.info["generator"])) for trial in trials}
    judged = statistics.mean(evaluations(trials, generators, root))
    training = sum(generators[trial.info["generator"]] for trial in trials)
    tokenizer = seconds(Run(root / TOKENIZERS / trials[0].info["tokenizer"]))
    anew = (training + len(trials) * judged) / workers
    print(f"sweep, measured: {wall:.0f} s for {len(trials)} trials with {workers} workers, {tokenizers} tokenizers")
    print(f"  a generator: {', '.join(f'{s:.0f} s' for s in generators.values())}; an evaluation: {judged:.1f} s")
    print(f"each trial trained anew, reckoned: {anew:.0f} s, {anew / wall:.1f} times as long")
    whole = anew + len(trials) * tokenizer / workers
    print(f"  with a tokenizer of {tokenizer:.0f} s for each too: {whole:.0f} s, {whole / wall:.1f} times as long")


def evaluations(trials: list[Run], generators: dict[str, float], root: Path) -> list[float]:
    """Seconds of the trials that began after their generator was there: they did nothing else."""
    ended = {name: Run(root / name).info["ended"] for name in generators}
    return [seconds(trial) for trial in trials if trial.info["started"] >= ended[trial.info["generator"]]]


def seconds(run: Run) -> float:
    """From the first word of a run to its last."""
    return run.info["ended"] - run.info["started"]


if __name__ == "__main__":
    main()
