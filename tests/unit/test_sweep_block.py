"""A bad `sweep:` or `ablate:` block fails before the first trial, with the key named; a good one means what it says."""

import pytest
from tiny_run import TINY

from hybridgen.cli import main
from hybridgen.config.compose import compose
from hybridgen.sweeps.queue.space import Choices, Range, Space, override
from hybridgen.sweeps.request.block import Experiment, read_ablation, read_sweep
from hybridgen.system.errors import UserError

GOOD = """
  over:
    model.residual_head.mlp_width: [8, 16]
    sampler.head_steps: [1, 2]
  objectives: {accuracy: max}
  sampler: grid
"""


@pytest.fixture
def experiment(tmp_path):
    """An experiment file with a block, as the sweep sees it."""

    def write(block, name="sweep"):
        file = tmp_path / "swept.yaml"
        file.write_text(f"extends: {TINY}\n{name}:{block}")
        return Experiment(str(file))

    return write


def test_a_good_block(experiment):
    composed, sweep = read_sweep(experiment(GOOD))
    assert sweep.space.size == 4
    assert sweep.objectives == {"accuracy": "maximize"}
    assert composed.config == compose(str(TINY)).config, "the block is no part of what a run is"
    assert "sweep" not in composed.delta


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("    model.backbon.depth: [1, 2]", ["over.model.backbon.depth", "unknown key 'backbon'", "'backbone'"]),
        ("    model.backbone.depht: [1]", ["over.model.backbone.depht", "unknown option 'depht'", "'depth'"]),
        ("    model.backbone.depth: [1, 0]", ["over.model.backbone.depth", "0 is too small; at least 1"]),
        ("    model.backbone.depth: [1, two]", ["over.model.backbone.depth", "'two' is a text"]),
        ("    model.backbone.depth: 3", ["over.model.backbone.depth", "a list of choices"]),
        ("    model.backbone.depth: [2, 2]", ["over.model.backbone.depth", "twice"]),
        ("    train.generator.lr: {low: 0, high: 1.0}", ["over.train.generator.lr", "above 0"]),
        ("    train.generator.lr: {low: 1.0, high: 0.1}", ["over.train.generator.lr", "low 1.0 is not below high 0.1"]),
        ("    train.generator.lr: {low: 0.0, high: 0.1, log: true}", ["over.train.generator.lr", "begins above 0"]),
        ("    train.generator.lr: {low: 0.1, hihg: 1.0}", ["over.train.generator.lr", "'hihg'", "'high'"]),
        ("    train.generator.lr: {low: 0.1}", ["over.train.generator.lr", "high"]),
        ("    model.residual_head: [flow, flwo]", ["over.model.residual_head", "unknown card 'flwo'", "'flow'"]),
        ("    metrics.samples: [100, 200]", ["over.metrics.samples", "would not compare"]),
    ],
)
def test_a_bad_dimension_is_named(experiment, wrong, says):
    block = f"\n  over:\n{wrong}\n  objectives: {{accuracy: max}}\n  sampler: tpe\n  trials: 3\n"
    with pytest.raises(UserError) as caught:
        read_sweep(experiment(block))
    message = str(caught.value)
    assert "swept.yaml:4: sweep." in message, "with its line"
    for text in says:
        assert text in message


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("sampler: grid", "sampler: gird"), ["sweep.sampler: unknown value 'gird'", "'grid'"]),
        (("sampler: grid", "sampler: tpe"), ["sweep.trials", "knows no end; give trials or seconds"]),
        (("sampler: grid", "sampler: grid\n  pruned: median"), ["unknown key 'pruned'", "'pruner'"]),
        (("sampler: grid", "sampler: grid\n  trials: 0"), ["sweep.trials: 0"]),
        (("max}", "up}"), ["sweep.objectives.accuracy: 'up' is a text; needed: min or max"]),
        (("accuracy: max", "acuracy: max"), ["unknown figure 'acuracy'", "'accuracy'"]),
        (("accuracy: max", "frechet: min"), ["it comes with the metric frechet: metrics.which=[accuracy, frechet]"]),
        (("{accuracy: max}", "{}"), ["sweep.objectives: a mapping of figures is needed here"]),
        (
            ("{accuracy: max}", "{accuracy: max, macs: min}\n  pruner: median"),
            ["sweep.pruner: 'median' needs a single objective, and there are 2"],
        ),
        (("[1, 2]", "{low: 1, high: 4, log: true}"), ["sweep.over.sampler.head_steps: a grid needs choices"]),
    ],
)
def test_a_bad_option_is_named(experiment, changed, says):
    with pytest.raises(UserError) as caught:
        read_sweep(experiment(GOOD.replace(*changed)))
    for text in says:
        assert text in str(caught.value)


def test_all_mistakes_are_told_together(experiment):
    with pytest.raises(UserError) as caught:
        read_sweep(experiment(GOOD.replace("grid", "gird").replace("max", "up").replace("[8, 16]", "8")))
    assert len(caught.value.messages) == 3


def test_nothing_is_written(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bad = experiment(GOOD.replace("head_steps", "head_stesp"))
    assert main(["sweep", bad.name]) == 2
    assert "sweep.over.sampler.head_stesp" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["swept.yaml"]


def test_an_experiment_without_a_block(tmp_path, capsys):
    assert main(["sweep", str(TINY)]) == 2
    assert "tiny: sweep: there is none" in capsys.readouterr().err


def test_a_block_can_be_changed_from_the_command_line(experiment):
    changed = ["sweep.sampler=random", "sweep.trials=7", "sweep.objectives.accuracy=null", "sweep.objectives.macs=min"]
    _, sweep = read_sweep(Experiment(experiment(GOOD).name, tuple(changed)))
    assert (sweep.options.sampler, sweep.options.trials) == ("random", 7)
    assert sweep.objectives == {"macs": "minimize"}
    wider = ["sweep.over.model.residual_head.mlp_width=[8, 16, 32]", "sweep.over.sampler.head_steps=null"]
    _, sweep = read_sweep(Experiment(experiment(GOOD).name, tuple(wider)))
    assert sweep.space.dimensions == {"model.residual_head.mlp_width": Choices((8, 16, 32))}


def test_values_become_overrides():
    space = Space(
        {
            "sampler.head_steps": Range(1, 4),
            "sampler.solver": Choices(("euler", {"card": "heun"})),
            "model.residual_head": Choices((None, "flow")),
            "model.tokenizer.scales": Choices(([1, 2, 7],)),
            "train.generator.flip": Choices((True, False)),
        }
    )
    params = dict(zip(space.dimensions, (3, '{"card": "heun"}', None, "[1, 2, 7]", True), strict=True))
    texts = space.overrides(params)
    assert texts == [
        "sampler.head_steps=3", 'sampler.solver={"card": "heun"}', "model.residual_head=null",
        "model.tokenizer.scales=[1, 2, 7]", "train.generator.flip=true",
    ]  # fmt: skip
    with pytest.raises(UserError):  # heads both null is refused, so the texts are read
        compose(str(TINY), [*texts, "model.code_head=null"])
    assert compose(str(TINY), texts).config["sampler"]["solver"]["card"] == "heun"
    assert override("x", "7", Choices(("7",))) == 'x="7"', "a text that looks like a number stays one"


def test_the_grid_trains_first():
    """What needs no training changes last: workers find other generators to train, not the same one."""
    space = Space({"sampler.head_steps": Choices((1, 2)), "model.backbone.depth": Choices((1, 2))})
    grid = space.grid(slow=("sampler.head_steps",))
    assert [p["model.backbone.depth"] for p in grid] == [1, 2, 1, 2]
    assert Range(1, 5, step=2).grid == (1, 3, 5)
    assert Range(0.0, 0.3, step=0.1).grid == pytest.approx((0.0, 0.1, 0.2, 0.3))


ABLATE = """
  variants:
    base: []
    codes_alone: ["model.residual_head=null"]
  figures: [accuracy]
"""


def test_a_good_ablation(experiment):
    _, ablation = read_ablation(experiment(ABLATE, "ablate"))
    assert ablation.variants == {"base": (), "codes_alone": ("model.residual_head=null",)}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (("=null", "=nil"), ["swept.yaml:5: ablate.variants.codes_alone", "unknown card 'nil'"]),
        (('["model.residual_head=null"]', "3"), ["ablate.variants.codes_alone", "a list of overrides"]),
        (("base: []", "bsae: []"), ["unknown variant 'base'", "'bsae'"]),
        (("[accuracy]", "[acuracy]"), ["ablate.figures", "unknown figure 'acuracy'"]),
    ],
)
def test_a_bad_ablation_is_named(experiment, changed, says):
    with pytest.raises(UserError) as caught:
        read_ablation(experiment(ABLATE.replace(*changed), "ablate"))
    for text in says:
        assert text in str(caught.value)
