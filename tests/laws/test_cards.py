"""What every card promises, whole models from config to checkpoint and back, and `hybridgen laws`."""

import pytest

from hybridgen.cli import main
from hybridgen.cli.laws import LAWFUL
from hybridgen.config.registry import Registry
from hybridgen.config.signature import read
from hybridgen.config.yaml_text import Place
from hybridgen.laws.cards import LAWS, checkpoint_gives_the_model_back, options_are_the_signatures, run_laws
from hybridgen.laws.toy import data
from tests.laws.tiny import SLOW, build, cards, composed_model

REGISTRY = Registry()
EVERY = [(slot, name) for slot in REGISTRY.slots() for name in REGISTRY.names(slot)]
OWN = """
import torch
from annotated_types import Ge
from typing import Annotated
from torch import Tensor, nn
from hybridgen.heads.flow import FlowHead


class Mine(FlowHead):
    def __init__(self, tokens, width: int, *, depth: Annotated[int, Ge(1)] = 1) -> None:
        super().__init__(tokens, width, mlp_width=16, depth=depth)

    def draw(self, hidden, grid, noise, solver, steps, guidance=1.0, temperature=1.0):
        return super().draw(hidden, grid, {noise}, solver, steps, guidance, temperature)
"""


@pytest.mark.parametrize(("slot", "name"), EVERY, ids=["/".join(card) for card in EVERY])
def test_a_cards_options_are_its_classes(slot, name):
    card = REGISTRY.card(slot, name, Place("test"))
    options_are_the_signatures(read(card.target), REGISTRY.load(card))
    assert set(card.options.values) | set(card.tiny) <= set(read(card.target).options)
    assert set(card.dims) <= {1, 2, 3}


def test_the_command_serves_every_slot_with_laws():
    assert set(LAWS) == set(LAWFUL)


HEADS = [
    pytest.param(
        slot, card, options, marks=SLOW if slot == "residual_head" else ()
    )  # tests/laws/test_heads.py is quicker
    for slot in ("code_head", "residual_head", "solver")
    for card, options in cards(slot)
]


@pytest.mark.parametrize(("slot", "card", "options"), HEADS, ids=lambda value: str(value)[:14])
def test_heads_and_solvers_keep_their_laws(slot, card, options):
    dims = REGISTRY.card(slot, card, Place("test")).dims
    verdicts = list(run_laws(slot, lambda offered: build(slot, card, options, offered), dims))
    assert len(verdicts) == len(LAWS[slot])
    assert [v for v in verdicts if v.failures] == []


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [
            "join_conv=true",
            "residual_head=diffusion",
            "backbone.positions.places=sincos",
            "backbone.positions.levels=resolution",
        ],
        ["tokenizer=pyramid", "residual_head=null"],
        [
            "tokenizer=continuous",
            "code_head=null",
            "order=last",
            "backbone=none",
            "join=hidden",
            "residual_head=grid_flow",
        ],
    ],
    ids=["hybrid", "diffusion", "codes", "all at once"],
)
def test_checkpoints_give_models_back(overrides, tmp_path):
    checkpoint_gives_the_model_back(composed_model(*overrides), data(2), tmp_path)


def own(tmp_path, noise):
    path = tmp_path / "own.py"
    path.write_text(OWN.replace("{noise}", noise))
    return f"{path}:Mine"


def test_the_command_puts_a_part_of_ones_own_through(tmp_path, capsys):
    assert main(["laws", own(tmp_path, "noise"), "--dims", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(LAWS["residual_head"]) + 1
    assert all(line.startswith("holds ") for line in said[:-1])
    assert "all 10 laws hold" in said[-1]


def test_the_command_names_the_law_that_is_broken(tmp_path, capsys):
    """This head's draw of a row depends on the rest of its batch."""
    assert main(["laws", own(tmp_path, "noise - noise.mean(0)"), "depth=2", "--dims", "2"]) == 1
    said = capsys.readouterr().out
    assert "BROKEN  rows_are_independent: A row's loss and draw" in said
    assert "in 2-D: " in said
    assert "1 of 10 laws broken" in said


def test_the_command_knows_cards(capsys):
    assert main(["laws", "euler"]) == 0
    assert "solver euler: all 7 laws hold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "several slots: conditioner/none, backbone/none"),
        (["flwo"], "unknown card 'flwo'. Did you mean 'flow'?"),
        (["metric/kid"], "unknown slot 'metric'"),
        (["nowhere.py:Mine"], "there is no file nowhere.py"),
        (["flow", "detph=2"], "Did you mean 'depth'?"),
    ],
)
def test_the_command_says_what_can_be_mended(arguments, message, capsys):
    assert main(["laws", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_class_without_a_contract_has_no_laws(tmp_path, capsys):
    (tmp_path / "own.py").write_text("class Mine: ...\n")
    assert main(["laws", f"{tmp_path}/own.py:Mine"]) == 2
    assert "derives from no contract that has laws" in capsys.readouterr().err
