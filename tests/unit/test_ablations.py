"""Every shipped study composes and plans: how many trials, and how few tokenizers and generators they need."""

from pathlib import Path

import pytest

from hybridgen.config.experiments import experiment_names
from hybridgen.sweeps.request.block import Experiment, read_ablation, read_sweep
from hybridgen.sweeps.request.plan import describe, plan_ablation, plan_sweep
from hybridgen.sweeps.session import Session

STUDIES = {  # trials, tokenizers, generators; of an ablation with one seed
    "alternation": (4, 4, 4),
    "codebook": (5, 5, 5),
    "early_diffusion": (2, 1, 2),
    "guidance": (24, 1, 1),
    "head_size_by_steps": (24, 1, 4),
    "regression": (4, 1, 3),
    "residual": (3, 2, 3),
    "residual_from": (3, 1, 3),
    "solvers": (15, 1, 1),
}
LARGE = ("head_size_by_steps", "solvers")  # each trial is composed


def session(name, root):
    """The study as its command opens it; its runs would lie under `root`."""
    experiment = Experiment(f"ablations/{name}", (f"runs={root}",))
    if "ablate" in experiment.compose().blocks:
        composed, ablation = read_ablation(experiment)
        plan, trials = plan_ablation(composed, ablation, seeds=1), len(ablation.variants)
        return Session(experiment, composed, plan, trials, ablation.options.figures)
    composed, sweep = read_sweep(experiment)
    trials = sweep.options.trials or sweep.space.size
    return Session(experiment, composed, plan_sweep(composed, sweep), trials, tuple(sweep.objectives))


def test_all_of_them_are_here():
    assert {name for name in experiment_names() if name.startswith("ablations/")} == {f"ablations/{n}" for n in STUDIES}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in STUDIES])
def test_a_study_plans(name, tmp_path):
    outlook = session(name, tmp_path / "runs").outlook()
    assert (outlook.trials, len(outlook.tokenizers), len(outlook.generators)) == STUDIES[name]
    assert not (tmp_path / "runs").exists(), "a plan writes nothing"


@pytest.mark.slow
def test_the_plan_in_words(tmp_path):
    outlook = session("head_size_by_steps", tmp_path / "runs").outlook()
    first, *rest = describe(outlook, 780.0).splitlines()
    assert first == (
        "24 trials: 1 tokenizer to train, 4 generators (model.residual_head.mlp_width) to train,"
        " 24 evaluations of them (sampler.head_steps); about 13 min on this machine"
    )
    assert [line.split("  ")[-1].strip() for line in rest] == [
        "to train, for 24 trials",
        *4 * ["to train, for 6 trials"],
    ]
    name = next(iter(outlook.tokenizers))
    folder = Path(tmp_path / "runs/tokenizers" / name)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    again = describe(session("head_size_by_steps", tmp_path / "runs").outlook(), None)
    assert again.startswith(f"24 trials: 1 tokenizer (found in {folder}), 4 generators"), "as a demo left it"
