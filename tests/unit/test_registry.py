"""Cards: found, read, trusted; classes imported only when they are built."""

import sys
from importlib.metadata import EntryPoint

import pytest

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.system.errors import UserError

OVERRIDE = Place("override x=y")
PART = """
from hybridgen.heads.base import CodeHead
class Mine(CodeHead):
  def __init__(self, tokens, *, a: int = 1): ...
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretends that packages in `tmp_path` are installed with these entry points."""

    def pretend(**points):
        monkeypatch.syspath_prepend(tmp_path)
        found = [EntryPoint(name, value, "hybridgen.registry") for name, value in points.items()]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)

    return pretend


def test_every_card_says_what_it_is():
    registry = Registry()
    for slot in registry.slots():
        assert registry.names(slot), slot
        for name in registry.names(slot):
            assert registry.card(slot, name, OVERRIDE).summary


def test_unknown_card_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown card 'flwo'\. Did you mean 'flow'\?\n  known: diffusion, "):
        Registry().card("residual_head", "flwo", OVERRIDE)


def test_a_folder_of_the_user_adds_cards(tmp_path):
    write(tmp_path / "part.py", PART)
    write(tmp_path / "code_head/mine.yaml", "target: ../part.py:Mine\noptions: {a: 2}\n")
    registry = Registry([tmp_path])
    card = registry.card("code_head", "mine", OVERRIDE)
    assert card.options.values == {"a": 2}
    assert registry.load(card).__name__ == "Mine"
    assert "categorical" in registry.names("code_head")


def test_a_clash_of_names_is_told(tmp_path):
    write(tmp_path / "residual_head/flow.yaml", "target: a.B")
    with pytest.raises(UserError, match=r"residual_head/flow is at .*rename one"):
        Registry([tmp_path]).names("residual_head")


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        Registry([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("targte: a.B", "mine.yaml:1: unknown key 'targte'. Did you mean 'target'?"),
        ("summary: x", "a card needs `target:"),
        ("target: a.B\noptions: 3", "mine.yaml:2: options: a mapping is needed"),
        ("target: ../../part.py:Mine", "lies outside of the registry's folder"),
    ],
)
def test_a_bad_card_is_told(tmp_path, text, said):
    write(tmp_path / "code_head/mine.yaml", text)
    with pytest.raises(UserError) as caught:
        Registry([tmp_path]).card("code_head", "mine", OVERRIDE)
    assert said in str(caught.value)


def test_a_file_beside_the_experiment_is_announced_once(tmp_path, capsys):
    write(tmp_path / "part.py", PART)
    registry = Registry(homes=[tmp_path])
    card = registry.card("code_head", "./part.py:Mine", Place("x.yaml:3", tmp_path / "x.yaml"))
    assert capsys.readouterr().err == ""
    assert registry.load(card) is registry.load(card)
    assert capsys.readouterr().err.count("part.py (named by x.yaml:3)") == 1


def test_a_file_outside_is_not_imported(tmp_path):
    write(tmp_path / "part.py", "raise SystemExit('imported')")
    registry = Registry(homes=[tmp_path / "inner"])
    place = Place("inner/x.yaml:3", tmp_path / "inner/x.yaml")
    with pytest.raises(UserError, match="lies outside of the folders you named"):
        registry.card("code_head", "../part.py:Mine", place)


def test_a_link_does_not_lead_outside(tmp_path):
    write(tmp_path / "part.py", PART)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/part.py").symlink_to(tmp_path / "part.py")
    registry = Registry(homes=[tmp_path / "inner"])
    with pytest.raises(UserError, match="lies outside"):
        registry.card("code_head", "./part.py:Mine", Place("inner/x.yaml:3", tmp_path / "inner/x.yaml"))


def test_a_stored_run_needs_the_folder_named_again(tmp_path, monkeypatch):
    write(tmp_path / "part.py", PART)
    monkeypatch.chdir(tmp_path)
    stored = Place("run", stored=True)
    with pytest.raises(UserError, match=r"not imported unasked.*\n  allow it: --registry FOLDER"):
        Registry().card("code_head", "./part.py:Mine", stored)
    assert Registry([tmp_path]).card("code_head", "./part.py:Mine", stored).target == f"{tmp_path}/part.py:Mine"


def test_a_file_named_on_the_command_line_is_found_again_by_its_folder(tmp_path):
    write(tmp_path / "part.py", PART)
    card = Registry().card("code_head", f"{tmp_path}/part.py:Mine", OVERRIDE)
    assert card.name == "./part.py:Mine"
    assert Registry([tmp_path]).resolved_card("code_head", card.name).target == card.target


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('bang')", "part.py raised ValueError: bang in line 2"),
        ("import sys\nsys.exit(3)", "raised SystemExit: 3"),
        ("import no_such_module_at_all", "raised ModuleNotFoundError"),
    ],
)
def test_a_file_that_raises_is_named(tmp_path, body, said):
    write(tmp_path / "part.py", f"class Mine: ...\n{body}\n")
    registry = Registry(homes=[tmp_path])
    card = registry.card("code_head", f"{tmp_path}/part.py:Mine", OVERRIDE)
    with pytest.raises(UserError) as caught:
        registry.load(card)
    assert said in str(caught.value)
    assert not [name for name in sys.modules if name.startswith("hybridgen_part_part") and "bang" in str(name)]


def test_a_class_of_another_slot_is_refused(tmp_path):
    write(tmp_path / "part.py", PART)
    registry = Registry()
    card = registry.card("backbone", f"{tmp_path}/part.py:Mine", OVERRIDE)
    with pytest.raises(UserError, match="does not serve as backbone; it must derive from"):
        registry.load(card)


def test_installed_packages_offer_cards(tmp_path, installed):
    write(tmp_path / "somepackage/__init__.py", "raise RuntimeError('imported only to list')")
    write(tmp_path / "somepackage/registry/code_head/theirs.yaml", "target: somepackage.heads.Head\nsummary: Theirs.")
    installed(somepackage="somepackage")
    assert "theirs" in Registry().names("code_head")


def test_a_broken_package_is_only_warned_of(tmp_path, installed, capsys):
    write(tmp_path / "empty_one/__init__.py", "")
    installed(empty="empty_one", gone="gone_package.registry")
    assert "categorical" in Registry().names("code_head")
    said = capsys.readouterr().err
    assert "warning: the installed package empty offers no cards" in said
    assert "warning: the installed package gone offers no cards" in said
