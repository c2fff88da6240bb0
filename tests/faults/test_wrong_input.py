"""Wrong input: one message with place, key, value and what is possible; exit code 2; nothing written; no traceback."""

import pytest

from hybridgen.assemble import assemble_model
from hybridgen.cli import main
from hybridgen.config.compose import compose
from hybridgen.generate.requests import class_numbers
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Composes an experiment with some text on top of base, in a folder of its own, and gives what was complained."""

    def run(text="", *overrides, extends="extends: base\n", **files):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine.yaml").write_text(extends + text)
        for name, content in files.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        before = sorted(tmp_path.rglob("*"))
        code = main(["compose", "mine.yaml", *overrides])
        said = capsys.readouterr()
        assert code == 2
        assert said.out == ""
        assert "Traceback" not in said.err
        assert sorted(tmp_path.rglob("*")) == before
        return said.err

    return run


def test_unknown_card(refused):
    said = refused("model:\n  residual_head: flwo\n")
    assert said.startswith("mine.yaml:3: model.residual_head: unknown card 'flwo'. Did you mean 'flow'?\n  known: ")
    assert "diffusion" in said


def test_unknown_key(refused):
    said = refused("model:\n  residual_head:\n    card: flow\n    detph: 4\n")
    assert "mine.yaml:5: model.residual_head.detph: unknown option 'detph' of card flow. Did you mean 'depth'?" in said
    assert "  known: " in said


def test_unknown_key_in_an_override(refused):
    said = refused("", "model.backbone.detph=4")
    assert said.startswith(
        "override model.backbone.detph=4: unknown option 'detph' of card causal. Did you mean 'depth'?"
    )


def test_unknown_slot(refused):
    said = refused("model:\n  backbon: causal\n")
    assert "mine.yaml:3: model.backbon: unknown key 'backbon'. Did you mean 'backbone'?" in said


def test_unknown_key_at_the_root(refused):
    assert "mine.yaml:2: sede: unknown key 'sede'. Did you mean 'seed'?" in refused("sede: 3\n")


def test_unknown_slot_to_list(capsys):
    assert main(["list", "residual_haed"]) == 2
    assert "unknown slot 'residual_haed'. Did you mean 'residual_head'?" in capsys.readouterr().err


def test_unknown_command(capsys):
    assert main(["compsoe"]) == 2
    assert "unknown command 'compsoe'. Did you mean 'compose'?" in capsys.readouterr().err


def test_unknown_experiment(capsys):
    assert main(["compose", "no_such_thing"]) == 2
    assert "unknown experiment 'no_such_thing'" in capsys.readouterr().err


def test_wrong_type(refused):
    said = refused("model:\n  backbone: {card: causal, depth: deep}\n")
    assert "mine.yaml:3: model.backbone.depth: 'deep' is a text; needed: a whole number, at least 1" in said
    assert "hybridgen/backbones/causal.py:CausalBackbone" in said


def test_out_of_range(refused):
    said = refused("", "model.backbone.depth=0")
    assert said.startswith("override model.backbone.depth=0: 0 is too small; at least 1")


def test_truth_value_for_a_whole_number(refused):
    assert "mine.yaml:2: seed: true is a truth value; needed: a whole number, at least 0" in refused("seed: true\n")


def test_number_of_yaml_1_1(refused):
    assert "mine.yaml:2: seed: '1:30' is a text; needed: a whole number" in refused("seed: 1:30\n")


def test_a_key_without_a_space(refused):
    assert "mine.yaml:2: the key 'steps:3' is not a name; is a space missing after ':'?" in refused(
        "train: {steps:3}\n"
    )


def test_a_key_that_is_a_number(refused):
    assert "mine.yaml:2: the key '1' is not text" in refused("1: 2\n")


@pytest.mark.parametrize("word", ["None", "none"])
def test_none_is_not_null(refused, word):
    assert f"override seed={word}: '{word}' is a text here; write null" in refused("", f"seed={word}")
    said = refused("", f"model.residual_head={word}")
    assert f"unknown card '{word}'" in said
    assert "write null to leave the part out" in said


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("+seed=1", "no sign is needed to add or change a key; write seed=1"),
        ("seed", "an override is key=value"),
        ("freeze[0]=model", "entries of a list are not set one by one; write the whole list, freeze=[...]"),
        ("a b=1", "'a b' is not a key"),
        ("=1", "'' is not a key"),
        ("a..b=1", "'a..b' is not a key"),
        ("seed=", "nothing stands after '='; write seed=null"),
        ("freeze=[a,b", "not YAML: did not find expected ',' or ']'; a bracket is left open"),
        ("sampler={card: hart", "a bracket is left open"),
        ("seed=]", "']' is a text; needed: a whole number"),
    ],
)
def test_overrides_that_cannot_be_read(refused, override, hint):
    said = refused("", override)
    assert said.startswith(f"override {override}: ")
    assert hint in said


def test_an_override_written_as_an_argument(refused):
    said = refused("", "--seed=1")
    assert "unknown argument '--seed=1'" in said
    assert "write seed=1" in said


def test_duplicate_key(refused):
    assert "mine.yaml:3: the key 'seed' stands twice; first in line 2" in refused("seed: 1\nseed: 2\n")


def test_tab(refused):
    said = refused("model:\n\torder: last\n")
    assert "mine.yaml:3: not YAML" in said
    assert "never by tabs" in said


def test_open_bracket(refused):
    said = refused("freeze: [a, b\nseed: 1\n")
    assert said.startswith("mine.yaml:")
    assert "a bracket is left open" in said


def test_brackets_in_brackets_without_end(refused):
    assert "mine.yaml:2: not YAML" in refused("freeze: " + "[" * 20_000)


def test_alias_bomb(refused):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    said = refused("\n".join(lines))
    assert said.startswith("mine.yaml:")
    assert "unfold to more than 10000 values" in said


def test_alias_of_itself(refused):
    assert "unfold to more than 10000 values, or into themselves" in refused("freeze: &a [*a]\n")


def test_python_tag(refused):
    said = refused("runs: !!python/object/apply:os.system ['touch pwned']\n")
    assert "mine.yaml:2: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed" in said


def test_number_too_long(refused):
    assert "mine.yaml:2" in refused(f"seed: {'9' * 5000}\n")


def test_not_a_mapping(refused):
    assert "mine.yaml:1: a mapping `key: value` is needed here" in refused("- a\n", extends="")


def test_cyclic_extends(refused):
    said = refused("", extends="extends: other\n", other="extends: mine\n")
    assert said.startswith("other.yaml:1: extends: the files extend each other in a circle: mine.yaml -> other.yaml")


def test_missing_file(capsys, tmp_path):
    assert main(["compose", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml: there is no such file" in capsys.readouterr().err


def test_missing_parent(refused):
    assert "mine.yaml:1: extends: unknown experiment 'bsae'" in refused("", extends="extends: bsae\n")


def test_wrong_extends(refused):
    assert "mine.yaml:1: extends: the name of an experiment is needed" in refused("", extends="extends: {a: 1}\n")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("${nowhere.at_all}", "key 'nowhere.at_all' not found"),
        ("${model.backbone.depth", "is not a whole interpolation"),
        ("${oc.env:HOME}", "unknown resolver 'oc.env'.\n  known: add, div, mul"),
        ("${div:1,0}", "cannot be worked out"),
        ("${mul:${runs},2}", "'runs' is not a number"),
        ("${seed}", "cannot be worked out"),
        ("${${runs}:1}", "unknown resolver '${runs}'"),
        ("???", "'???' marks a missing value"),
    ],
)
def test_bad_interpolation(refused, text, hint):
    said = refused(f"seed: '{text}'\n")
    assert "mine.yaml:2: seed: " in said
    assert hint in said


def test_interpolation_to_the_wrong_type(refused):
    assert "mine.yaml:2: seed: 'runs' is a text; needed: a whole number" in refused("seed: ${runs}\n")


def test_null_on_a_needed_slot(refused):
    said = refused("model:\n  order: null\n")
    assert "mine.yaml:3: model.order: null is not a value here; needed: a card of order\n  known: " in said
    assert "scales" in said


def test_null_on_both_heads(refused):
    said = refused("", "model.code_head=null", "model.residual_head=null")
    assert "needs at least one of the two" in said


def test_options_of_a_part_that_was_left_out(refused):
    said = refused("model: {residual_head: null}\n", "model.residual_head.depth=3")
    assert said.startswith("override model.residual_head.depth=3")
    assert "model.residual_head names no card; needed: a card of residual_head" in said


def test_a_needed_slot_that_nobody_fills(refused):
    said = refused("data: fashion28\n", extends="")
    assert "model.tokenizer: null is not a value here; needed: a card of tokenizer" in said


def test_a_number_where_a_part_stands(refused):
    assert "mine.yaml:2: data: 3 is a whole number; needed: a card of data" in refused("data: 3\n")


def test_misfit_neighbours():
    """A categorical head on a tokenizer without codes: told where the head was named."""
    composed = compose("base", ["model.tokenizer=continuous", "model.code_head=categorical"])
    with pytest.raises(UserError) as caught:
        assemble_model(composed, DataSpec(1, (28, 28), ("a",)))
    assert str(caught.value).startswith("override model.code_head=categorical: ")
    assert "no codes" in str(caught.value)


def test_two_errors_at_once(refused):
    said = refused("seed: -1\nmodel:\n  residual_head: flwo\n", "model.backbone.depth=0")
    for part in (
        "mine.yaml:2: seed: -1 is too small",
        "mine.yaml:4: model.residual_head",
        "override model.backbone.depth=0",
    ):
        assert said.count(part) == 1


def test_two_unreadable_overrides_at_once(refused):
    said = refused("", "+seed=1", "freeze[0]=a")
    assert "override +seed=1" in said
    assert "override freeze[0]=a" in said


def test_a_file_of_the_user_that_raises(tmp_path):
    (tmp_path / "part.py").write_text("class Mine:\n    def __init__(self, tokens): ...\n\nraise ValueError('bang')\n")
    (tmp_path / "mine.yaml").write_text("extends: base\nmodel: {residual_head: './part.py:Mine'}\n")
    with pytest.raises(UserError) as caught:
        assemble_model(compose(str(tmp_path / "mine.yaml")), DataSpec(1, (28, 28), ("a",)))
    said = str(caught.value)
    assert "part.py raised ValueError: bang in line 4 of" in said
    assert said.startswith(f"{tmp_path}/mine.yaml:2")


def test_a_file_of_the_user_without_the_class(refused, tmp_path):
    (tmp_path / "part.py").write_text("class Mine: ...\n")
    said = refused("model: {residual_head: './part.py:Mien'}\n")
    assert "mine.yaml:2: model.residual_head: part.py: unknown class 'Mien'. Did you mean 'Mine'?" in said


def test_a_file_outside_the_experiments_folder(refused):
    said = refused("model: {residual_head: '../part.py:Mine'}\n")
    assert "mine.yaml:2: model.residual_head: the file ../part.py lies outside of the folders you named" in said


def test_a_registry_that_is_not_there(refused):
    assert "--registry nowhere: there is no such folder" in refused("", "--registry", "nowhere")


@pytest.mark.parametrize(
    "setting", ["top_p=[7.0]", "top_p=[0.0]", "guidance=[-5.0]", "head_steps=[-3]", "top_k=[-2]", "temperature=[1, -1]"]
)
def test_a_list_out_of_range(refused, setting):
    said = refused("", f"sampler.{setting}")
    assert said.startswith(f"override sampler.{setting}: entry {setting.count(',') + 1}: ")
    assert "is too" in said


@pytest.mark.parametrize("text", ["/data/set #2", "#2", "&x", "*x", "!x", "a: b", "- a", "% b", "@c", "it's", '"a" b'])
def test_a_word_of_the_shell_is_taken_whole(text):
    assert compose("base", [f"runs={text}"]).config["runs"] == text


@pytest.mark.parametrize("text", ["[a #b]", "[a] # b", "[&x, b]", "[*x]", "[!x a]", "{card: a} # b"])
def test_signs_with_a_meaning_in_a_list(refused, text):
    said = refused("", f"freeze={text}")
    assert "has a meaning of its own in a list; put quotes around the text" in said
    assert compose("base", ["freeze=['a #b']", "seed= 7 "]).config["seed"] == 7


def test_an_unknown_key_points_to_where_it_lies(refused):
    said = refused("", "tokenizer=hybrid", "model.seed=1")
    assert "a key of that name lies at model.tokenizer, train.tokenizer; write the full path" in said
    assert "a key of that name lies at seed, metrics.seed; write the full path" in said


@pytest.mark.parametrize(("text", "number"), [("1", 0), ("3", 2), ("a, b", 3)])
def test_a_name_comes_before_an_index(text, number):
    assert class_numbers(text, ("1", "2", "3", "a, b")) == [number]
    assert class_numbers("1, 0", ("cat", "dog")) == [1, 0]
    with pytest.raises(UserError, match="unknown class '0'"):
        class_numbers("0", ("1", "2", "3"))
