"""What a config decides, and keys that outlive added and renamed options."""

import copy
import tarfile
from pathlib import Path

import pytest

from hybridgen.cli import main
from hybridgen.comparison.differences import differences
from hybridgen.comparison.entries import entries_of
from hybridgen.config import identity, migrate
from hybridgen.config.compose import compose, from_dict
from hybridgen.config.identity import (
    apart_from_seed,
    canonical,
    check_changes,
    decides,
    folder_name,
    generator_key,
    may_change,
    nodes_that_decide,
    retrains,
    study_key,
    tokenizer_folder,
    tokenizer_key,
)
from hybridgen.config.schema import TREE
from hybridgen.runs.run import Run
from hybridgen.sweeps.request.block import Experiment, read_sweep
from hybridgen.sweeps.request.plan import plan_sweep
from hybridgen.sweeps.trial.generators import find_generator, generator_name
from hybridgen.system.errors import UserError

STORED = Path(__file__).parents[1] / "stored" / "version_0_1_0.tar.xz"
TINY = str(Path(__file__).parents[1] / "tiny.yaml")


@pytest.fixture(scope="module")
def config():
    return compose(TINY).config


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The folder of an earlier version, as the working folder."""
    with tarfile.open(STORED) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(config, path, value):
    """A copy with another value at a dotted path."""
    copied = copy.deepcopy(config)
    *above, name = path.split(".")
    node = copied
    for key in above:
        node = node[key]
    node[name] = value
    return copied


def keys(config):
    tokenizer = folder_name(tokenizer_key(config, "data", "fp32"))
    return tokenizer, folder_name(generator_key(config, tokenizer, None)), folder_name(study_key(config, {}, []), 8)


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("seed", 5, "tokenizer"),
        ("precision", "bf16", "tokenizer"),
        ("data.card", "fashion_mnist", "tokenizer"),
        ("model.tokenizer.vocab", 5, "tokenizer"),
        ("train.tokenizer.steps", 5, "tokenizer"),
        ("freeze", ["model.backbone"], "generator"),
        ("model.join_conv", True, "generator"),
        ("model.backbone.depth", 5, "generator"),
        ("train.generator.steps", 5, "generator"),
        ("sampler.head_steps", 5, "sample"),
        ("metrics.samples", 5, "sample"),
        ("train.generator.sample_every", 5, "nothing"),
        ("tracking.uri", "x", "nothing"),
        ("device", "cuda", "nothing"),
        ("runs", "elsewhere", "nothing"),
    ],
)
def test_what_a_value_decides_is_what_its_change_renames(config, path, value, kind):
    assert decides(path) == kind
    assert retrains(path) == (kind if kind in ("tokenizer", "generator") else "nothing")
    same = [a == b for a, b in zip(keys(config), keys(changed(config, path, value)), strict=True)]
    if path == "precision":  # the machine's own stands in the key
        return
    assert same[0] is (kind != "tokenizer")
    assert same[1] is (kind in ("sample", "nothing"))
    assert same[2] is ((kind == "nothing" and "." not in path) or path.startswith("tracking"))


def test_a_node_decides_what_those_below_it_do():
    assert [decides(path) for path in ("", "model", "train", "model.code_head")] == [*["tokenizer"] * 3, "generator"]


def test_where_data_lie_is_not_what_they_are(config):
    """Their fingerprint stands for them; a sweep over folders still trains anew for each."""
    assert keys(changed(config, "data.root", "elsewhere"))[:2] == keys(config)[:2]
    assert retrains("data.root") == "tokenizer"


def test_how_many_processes_train_is_part_of_keys_as_ever(config):
    assert decides("compute.devices") == "nothing"
    assert keys(changed(config, "compute.devices", 2))[1:] != keys(config)[1:]


def test_every_option_that_stands_apart_is_one():
    composed = compose(TINY)
    for path, node in TREE.items():
        assert not node.apart or node.apart.keys() <= composed.node(path).keys()


def test_what_may_change():
    assert set(may_change("resume")) == {"compute", "tracking"}
    trained = {"sampler", "metrics", "data", "device", "compute", "tracking", "runs"}
    assert set(may_change("trained model")) == trained
    assert nodes_that_decide("sample") == ("sampler", "metrics")
    check_changes(["sampler.sets=2", "data=x"], "trained model")
    with pytest.raises(UserError, match=r"resume, what may change: unknown key 'seed'"):
        check_changes(["compute.devices=2", "seed=1"], "resume")


@pytest.mark.parametrize(
    "path", ["model.tokenizer.width", "model.backbone.width_of_it", "train.generator.more", "more"]
)
def test_an_option_that_is_added_at_its_default_renames_nothing(config, path, monkeypatch):
    later = changed(config, path, [1, 2])
    assert keys(later) != keys(config)
    monkeypatch.setattr(identity, "ADDED", {path: [1, 2]})
    assert keys(later) == keys(config)
    assert keys(changed(config, path, [1])) != keys(config)
    assert differences([[canonical(config)], [canonical(later)]]) == {}


@pytest.fixture
def renamed(monkeypatch):
    """From now on the options that the stored folder calls `vocab` and `depth` have other names."""
    changes = (
        ("model.tokenizer", migrate._renamed("vocab", "codes")),
        ("model.backbone", migrate._renamed("depth", "layers")),
    )
    monkeypatch.setattr(migrate, "CHANGES", (*migrate.CHANGES, *changes))


def runs_below(folder):
    return [Run(path.parent) for path in sorted(folder.glob("*/run.json"))]


def test_stored_models_are_found(stored):
    """Those of an earlier version, by what their folders say of them."""
    tokenizers, generators = (runs_below(stored / "runs" / kind) for kind in ("tokenizers", "generators"))
    assert len(tokenizers) == 2
    for run in tokenizers:
        assert tokenizer_folder(identity._renewed(run.config), stored / "runs" / "tokenizers") == run.path
    (run,) = generators
    name = generator_name(run.config, Path(run.info["links"]["tokenizer"]).name)
    assert find_generator(name, stored / "runs").path == run.path


def test_options_that_a_stored_config_lacks_stand_in_added(stored):
    """Whoever adds an option writes its default into `identity.ADDED`; else stored models and studies are not found."""
    for run in (*runs_below(stored / "runs" / "tiny"), *runs_below(stored / "runs" / "generators")):
        today = from_dict(run.config).config
        assert differences([[apart_from_seed(today)], [apart_from_seed(run.config)]]) == {}


def test_a_renamed_option_finds_the_same_models(stored, renamed):
    """Their hashes are others now, and the folders keep their names."""
    root = stored / "runs"
    for run in runs_below(root / "tokenizers"):
        key = identity._renewed(run.config)
        assert "codes" in key["tokenizer"]
        assert folder_name(key) != run.name
        assert tokenizer_folder(key, root / "tokenizers") == run.path
        assert tokenizer_folder({**key, "seed": 99}, root / "tokenizers").name == folder_name({**key, "seed": 99})
    (run,) = runs_below(root / "generators")
    name = generator_name(run.config, Path(run.info["links"]["tokenizer"]).name)
    assert name != run.name
    assert find_generator(name, root).path == run.path
    assert find_generator(generator_name(changed(run.config, "seed", 9), "other"), root) is None


def test_a_renamed_option_is_no_other_study_and_no_difference(stored, monkeypatch):
    composed, sweep = read_sweep(Experiment("swept.yaml"))
    old = plan_sweep(composed, sweep).name
    study = Run(stored / "runs" / "swept" / "sweeps" / old)
    assert study.config == composed.config
    for search in (None, plan_sweep(composed, sweep).search):  # as 0.1.0 stored it, and as it is stored today
        study.note(search=search)
        with monkeypatch.context() as patch:
            patch.setattr(identity, "migrate", lambda config: renamed_to(config, "depth", "layers"))
            key = study_key(composed.config, sweep.space.to_json(), [])
            assert key[1]["model"]["backbone"]["layers"] == composed.config["model"]["backbone"]["depth"]
            assert plan_sweep(composed, sweep).name == old
            entry = entries_of([study])[0]
            assert differences([entry.configs, [canonical(composed.config)]]) == {}
            for more in ("seed=8", "sweep.over.model.residual_head.mlp_width=[8, 16, 32]", "sweep.seed=3"):
                other = plan_sweep(*read_sweep(Experiment("swept.yaml", (more,)))).name
                assert other != old


def renamed_to(config, old, new):
    """What `migrate` does when an option of the backbone gets another name."""
    migrated = migrate.migrate(config)
    migrate._renamed(old, new)(migrated["model"]["backbone"])
    return migrated


@pytest.mark.parametrize("damage", ["{}", "data: {fingerprint: x}", "- 1", "format: 9"])
def test_a_folder_that_says_nothing_is_passed_over(tmp_path, damage):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text(damage)
    key = {"format": 1, "data": {}}
    assert tokenizer_folder(key, tmp_path).name == folder_name(key)


def test_the_verbs_ask_it(stored, capsys):
    assert main(["resume", "tiny", "model.backbone.depth=3", "--runs", "runs"]) == 2
    assert "resume, what may change" in capsys.readouterr().err
