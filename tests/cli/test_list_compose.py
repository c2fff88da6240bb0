"""`hybridgen list` and `compose`, and the frame around every verb."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from hybridgen import __version__
from hybridgen.cli import VERBS, main
from hybridgen.config.compose import compose
from hybridgen.config.yaml_text import read_file


def quickest(*arguments):
    """CPU seconds of a command, the least of three: what it takes on a quiet machine."""
    taken = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(taken)


@pytest.fixture
def verb(monkeypatch):
    """Puts a verb that does what it is told in the place of `ui`."""

    def put(run):
        module = SimpleNamespace(SUMMARY="", add_arguments=lambda parser: None, run=run)
        monkeypatch.setitem(sys.modules, "hybridgen.cli.ui", module)

    return put


def test_list_names_slots_cards_and_experiments(capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    for name in ("residual_head\n", "  flow", "sampler\n", "  hart", "experiments"):
        assert name in said


def test_list_of_a_slot_shows_options(capsys):
    assert main(["list", "sampler"]) == 0
    said = capsys.readouterr().out
    assert "head_steps = 8: a whole number, at least 0" in said
    assert "residual_head" not in said


def test_list_as_json(capsys):
    assert main(["list", "solver", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == {"solver"}
    assert {"ddim", "euler", "heun"} <= set(listed["solver"])


def test_list_sees_the_users_folder(tmp_path, capsys):
    (tmp_path / "solver").mkdir()
    (tmp_path / "solver/mine.yaml").write_text("target: mine.Solver\nsummary: My own.\n")
    assert main(["list", "--registry", str(tmp_path)]) == 0
    assert re.search(r"^  mine +My own\.$", capsys.readouterr().out, re.M)


def test_compose_prints_yaml_that_reads_back(tmp_path, capsys):
    assert main(["compose", "base", "model.backbone.depth=2", "seed=5"]) == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert read_file(path).values == compose("base", ["model.backbone.depth=2", "seed=5"]).config


def test_compose_as_json_with_arguments_between_the_overrides(capsys):
    assert main(["compose", "base", "seed=5", "--json", "model.residual_head=null"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["seed"], config["model"]["residual_head"]) == (5, None)


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)
    assert main([]) == 2


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hybridgen {__version__}\n"


def test_help_of_a_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["compose", "--help"])
    assert stop.value.code == 0
    assert "key=value" in capsys.readouterr().out


def test_interrupted(verb, capsys):
    def run(args):
        raise KeyboardInterrupt("Go on with: hybridgen resume runs/x")

    verb(run)
    assert main(["ui"]) == 130
    assert "stopped. Go on with: hybridgen resume runs/x" in capsys.readouterr().err


def test_a_missing_argument_is_one_message(capsys):
    assert main(["compose"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("hybridgen compose: the following arguments are required: EXPERIMENT")
    assert "usage: hybridgen compose" in said


def test_a_closed_pipe_is_no_fault():
    command = f"'{sys.executable}' -m hybridgen list sampler; echo code $? >&2"
    done = subprocess.run(f"({command}) | true", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_light_commands_are_quick():
    """`--help` within ten bare interpreters, `list` and `compose` within half a second."""
    assert quickest("-m", "hybridgen", "--help") < 10 * max(quickest("-c", "pass"), 0.01)
    assert quickest("-m", "hybridgen", "list") < 0.5
    assert quickest("-m", "hybridgen", "compose", "base") < 0.5
