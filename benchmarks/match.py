"""What `hybridgen ablate --match seconds` finds, timed anew: seconds of each variant in units of the base's.

OMP_NUM_THREADS=1 python benchmarks/match.py residual
"""

import sys

from hybridgen.sweeps.request.block import Experiment, read_ablation
from hybridgen.sweeps.request.match import stopwatch
from hybridgen.sweeps.request.paired_timing import pace
from hybridgen.sweeps.results.ablate import match_all


def main() -> None:
    """Finds the matches unless runs/matched/ has them, and takes four minutes for each."""
    experiment = Experiment(sys.argv[1])
    _, ablation = read_ablation(experiment)
    variants = ablation.variants
    base = stopwatch(experiment.compose(variants[ablation.options.base]))
    for name, found in match_all(experiment, ablation, "seconds", print).items():
        again = pace(stopwatch(experiment.compose([*variants[name], *found.overrides])), base, within=None)
        shown = f"{again.ratio:.1%} ({again.low:.1%} to {again.high:.1%}, 99.9 %)"
        print(f"{name}: {' '.join(found.overrides)}: found at {found.ratio:.1%}; anew {shown}")


if __name__ == "__main__":
    main()
