"""Experiments composed: layers, places, overrides, interpolation, and what comes back from a stored config."""

import json

import pytest

from hybridgen.config.compose import compose, from_dict
from hybridgen.config.experiments import experiment_names
from hybridgen.config.yaml_text import Place, read_file, read_value, write
from hybridgen.system.errors import UserError, UserErrors

EXPERIMENTS = [
    pytest.param(name, marks=pytest.mark.slow if name.startswith("published/") else [])
    for name in ["base", *experiment_names()]
]


@pytest.fixture
def experiment(tmp_path):
    """Writes an experiment on top of base and gives its path."""

    def put(text, name="mine", extends="base"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"extends: {extends}\n{text}")
        return str(path)

    return put


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_reads_back(name, tmp_path):
    composed = compose(name)
    assert json.loads(json.dumps(composed.config)) == composed.config
    assert from_dict(composed.config).config == composed.config
    (tmp_path / "again.yaml").write_text(write(composed.config))
    assert compose(str(tmp_path / "again.yaml")).config == composed.config


def test_order_of_meaning(experiment):
    sampler = compose(experiment("sampler: {card: var, top_k: 5}"), ["sampler.top_p=0.5"]).config["sampler"]
    assert (sampler["sets"], sampler["ramp"]) == (1, "linear")  # signature, card
    assert (sampler["top_k"], sampler["top_p"]) == (5, 0.5)  # experiment, command line


def test_a_card_replaces_options_and_all(experiment):
    first = experiment("model: {residual_head: {card: flow, depth: 7}}", "first")
    assert compose(first).config["model"]["residual_head"]["depth"] == 7
    merged = compose(experiment("model: {residual_head: {mlp_width: 64}}", "second", first)).config["model"]
    assert (merged["residual_head"]["depth"], merged["residual_head"]["mlp_width"]) == (7, 64)
    anew = compose(experiment("model: {residual_head: flow}", "third", first)).config["model"]
    assert anew["residual_head"]["depth"] != 7


def test_null_leaves_a_part_out(experiment):
    assert compose(experiment("model: {residual_head: null}")).config["model"]["residual_head"] is None
    assert compose("base", ["train.tokenizer=null"]).config["train"]["tokenizer"] is None


def test_later_parents_win(experiment):
    experiment("seed: 1\nruns: one", "one")
    experiment("seed: 2", "two")
    config = compose(experiment("", "both", "[one, two]")).config
    assert (config["seed"], config["runs"]) == (2, "one")


def test_the_order_of_overrides_does_not_matter():
    forth = compose("base", ["model.residual_head=flow", "model.residual_head.depth=5"])
    back = compose("base", ["model.residual_head.depth=5", "model.residual_head=flow"])
    assert forth.config == back.config
    assert forth.config["model"]["residual_head"]["depth"] == 5


def test_an_override_may_hold_a_mapping_or_a_list():
    config = compose("base", ["sampler={card: plain, guidance: [1, 2]}", "freeze=[model.backbone]"]).config
    assert config["sampler"]["guidance"] == [1.0, 2.0]
    assert config["freeze"] == ["model.backbone"]


def test_parts_within_parts():
    assert compose("base", ["sampler.solver=heun"]).config["sampler"]["solver"]["card"] == "heun"
    assert compose("base", ["sampler=plain"]).config["sampler"]["solver"]["card"] == "euler"


def test_interpolation():
    overrides = ["model.residual_head.mlp_width=${mul:${model.backbone.width},2}", "seed=${div:8,2}"]
    config = compose("base", overrides).config
    assert config["model"]["residual_head"]["mlp_width"] == 2 * config["model"]["backbone"]["width"]
    assert config["seed"] == 4


def test_delta_is_what_was_said_beyond_base(experiment):
    path = experiment("model: {residual_head: {depth: '${add:1,1}'}, code_head: categorical}")
    delta = compose(path, ["seed=3", "train.tokenizer=null"]).delta
    said = {"residual_head": {"depth": 2}, "code_head": "categorical"}
    assert delta == {"model": said, "seed": 3, "train": {"tokenizer": None}}
    assert compose("base").delta == {}


def test_places_survive_merging(experiment):
    path = experiment("model:\n  backbone:\n    depth: 3\n")
    composed = compose(path, ["seed=1"])
    assert composed.where("model.backbone.depth") == f"{path}:4: model.backbone.depth"
    assert composed.where("seed") == "override seed=1"
    assert composed.where("model.order").endswith("base.yaml:10: model.order")
    assert composed.where("model.backbone.width").endswith(f"{path}:4: model.backbone.width")  # a default: its node


def test_nothing_is_shared_with_the_caller():
    config = compose("base").config
    from_dict(config).config["model"]["backbone"]["depth"] = 99
    assert config["model"]["backbone"]["depth"] != 99


def test_a_stored_text_is_not_worked_out():
    config = compose("base").config
    config["runs"] = "${oc.env:HOME}"
    assert from_dict(config).config["runs"] == "${oc.env:HOME}"


def test_a_stored_config_is_checked():
    config = compose("base").config
    config["model"]["backbone"]["detph"] = 1
    with pytest.raises(UserErrors, match=r"weights: model.backbone.detph: unknown option 'detph' of card causal"):
        from_dict(config, name="weights")


def test_a_name_may_leave_its_folder_out(tmp_path, monkeypatch):
    for name in ("image/one", "image/two", "text/two"):
        (tmp_path / "experiments" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"experiments/{name}.yaml").write_text("extends: base")
    (tmp_path / "registry").mkdir()
    monkeypatch.setenv("HYBRIDGEN_HOME", str(tmp_path))
    from hybridgen.config.experiments import find_experiment

    assert find_experiment("one") == find_experiment("image/one")
    with pytest.raises(UserError, match="several: image/two, text/two"):
        find_experiment("two")
    with pytest.raises(UserError, match=r"unknown experiment 'image/oen'\. Did you mean 'image/one'"):
        find_experiment("image/oen")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("12:30:45", "12:30:45"),
        ("010", "010"),
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("1e-4", 1e-4),
        ("1e5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("+.inf", float("inf")),
        ("true", True),
        ("~", None),
        ("null", None),
        ("'1'", "1"),
        ("{a: [1, b]}", {"a": [1, "b"]}),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    """Met: YAML 1.1 reads 1:30 as 90, 010 as 8, yes as true."""
    result = read_value(text, Place("test"), "x").values["x"]
    assert result == value
    assert type(result) is type(value)


def test_what_is_written_reads_back(tmp_path):
    texts = ["1:30", "010", "yes", "1e5", "1e-4", "null", "~", "", "true", "a: b", "é", "${a}", "0x10", "- x", "3"]
    tree = {"texts": texts, "numbers": [1, -2.5, 1e-7, 1e22, True, None], "empty": [], "nest": {"a": {"b": "no"}}}
    path = tmp_path / "tree.yaml"
    path.write_text(write(tree))
    assert read_file(path).values == tree
