"""The table of first words: each nested slot takes what was said beside it, and gives it back for the hashes."""

from functools import cache

import pytest

from hybridgen.config.compose import compose, from_dict, with_overrides
from hybridgen.config.first_form import CHANGES
from hybridgen.config.migrate import first_words
from hybridgen.system.errors import UserErrors

PARTS = {
    "pyramid": ["model.tokenizer=pyramid"],
    "a published pyramid": ["model.tokenizer=hybrid_vq_ch160_v4096", "model.tokenizer.scales=[1, 2, 7]"],
    "continuous": ["model.tokenizer=continuous", "model.code_head=null"],
    "causal": ["model.backbone=causal"],
    "masked": ["model.backbone=masked_mar_b"],
    "flow": ["model.residual_head=flow"],
    "diffusion": ["model.residual_head=diffusion_hart"],
    "grid flow": ["model.residual_head=grid_flow_sit"],
    "grid diffusion": ["model.residual_head=grid_diffusion_dit"],
}
MOVES = {  # what is said in the first words, and where it stands today
    "net": ("tokenizer=continuous", "tokenizer.widths=[8]", "tokenizer.net.widths=[8]"),
    "codebook": ("tokenizer=pyramid", "tokenizer.decay=0.5", "tokenizer.codebook.decay=0.5"),
    "phi": ("tokenizer=pyramid", "tokenizer.phi_last=training", "tokenizer.phi.last=training"),
    "phases": ("tokenizer=hybrid", "tokenizer.tail=0.5", "tokenizer.phases.tail=0.5"),
    "loss": ("tokenizer=pyramid", "tokenizer.quantizer_weight=1.0", "tokenizer.loss.quantizer=1.0"),
    "condition": ("backbone=causal", "backbone.start=vector", "backbone.condition.start=vector"),
    "positions": ("backbone=causal", "backbone.rotary=axis", "backbone.positions.rotary=axis"),
    "block": ("backbone=causal", "backbone.norm=rms", "backbone.block.norm=rms"),
    "block of a masked backbone": ("backbone=masked", "backbone.dropout=0.5", "backbone.block.dropout=0.5"),
    "layout": ("residual_head=grid_flow", "residual_head.told=plain", "residual_head.layout.condition_input=plain"),
    "objective": ("residual_head=flow", "residual_head.times=uniform", "residual_head.objective.times=uniform"),
    "objective of a curve": ("residual_head=grid_flow", "residual_head.curve=vp", "residual_head.objective.curve=vp"),
    "time": ("residual_head=grid_flow", "residual_head.clock=data", "residual_head.objective.time_input=data"),
    "objective on a table": ("residual_head=diffusion", "residual_head.clip=1.0", "residual_head.objective.clip=1.0"),
}  # fmt: skip


@cache
def config(*overrides):
    return compose("base", [f"model.{text}" for text in overrides]).config


@pytest.mark.parametrize("overrides", PARTS.values(), ids=PARTS.keys())
def test_a_stored_config_comes_back(overrides):
    """To the first words, in which no group stands, and from them to the config of today."""
    today = compose("base", overrides).config
    first = first_words(today)
    assert first_words(first) == first
    assert from_dict(first).config == from_dict(today).config == today
    for part in ("tokenizer", "backbone", "residual_head"):
        groups = {group for form in CHANGES if form.part == f"model.{part}" for group in form.implied}
        held = [value for name, value in first["model"][part].items() if name in groups and isinstance(value, dict)]
        assert all("card" in value for value in held), "a network other than the light one is all that is nested"


@pytest.mark.parametrize(("card", "first", "today"), MOVES.values(), ids=MOVES.keys())
def test_first_words_are_understood(card, first, today):
    """In an experiment or an override, and over a stored config."""
    assert config(card, first) == config(card, today)
    assert with_overrides(config(card), [f"model.{first}"]).config == config(card, today)


def test_what_the_user_changed_is_written_in_todays_words():
    first, today = (compose("base", [f"model.{words}"]) for words in MOVES["block"][1:])
    assert first.delta == today.delta == {"model": {"backbone": {"block": {"norm": "rms"}}}}


def test_what_had_no_effect_is_left_out():
    """An option of another card, or of the light network where another was named."""
    assert config("tokenizer=discrete", "tokenizer.phi_ratio=0.7") == config("tokenizer=discrete")
    assert config("tokenizer=pyramid", "tokenizer.lead=0.5") == config("tokenizer=pyramid")
    assert config("tokenizer=kl16", "tokenizer.encoder_blocks=7") == config("tokenizer=kl16")
    assert config("tokenizer=pyramid", "tokenizer.net=null") == config("tokenizer=pyramid")


def test_the_later_layer_wins():
    """Whichever words it speaks."""
    mixed = config("backbone.block.norm=rms", "backbone.norm=layer")
    assert mixed["model"]["backbone"]["block"]["norm"] == "rms", "one layer: today's word is the one that is meant"
    stored = config("backbone.block.norm=rms")
    assert with_overrides(stored, ["model.backbone.norm=layer"]).config["model"]["backbone"]["block"]["norm"] == "layer"


def test_options_that_came_later_are_kept():
    """Different configs have different first words."""
    plain, dropped = (first_words(config(*more))["model"]["backbone"] for more in ((), ("backbone.block.dropout=0.5",)))
    assert "block" not in plain
    assert dropped == plain | {"block": {"dropout": 0.5}}


def test_a_part_that_has_the_option_keeps_it():
    """The continuous tokenizer's l1 is no option of a group."""
    assert config("tokenizer=continuous", "tokenizer.l1=0.7")["model"]["tokenizer"]["l1"] == 0.7


def test_mistakes_are_reported_where_they_were_made():
    with pytest.raises(UserErrors, match=r"override model.backbone.norm=rmz: .*unknown value 'rmz'"):
        config("backbone.norm=rmz")
    with pytest.raises(UserErrors, match=r"unknown option 'nrm' of card transformer. Did you mean 'norm'"):
        config("backbone.block.nrm=rms")
