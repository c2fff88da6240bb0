"""Each option that a published generator needs, switched to another value, moves a number that parity compares."""

from functools import cache

import pytest
import torch
from reference import Case
from replaying import sampler

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose
from hybridgen.nn.draws import Draws
from hybridgen.orders.order import SetOrder
from hybridgen.published.families import recognise
from hybridgen.samplers.mix import gumbel_mixture
from hybridgen.samplers.schedules import settings_at
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Tokens

CASES = {"var": "var_vqvae", "var_shared_aln": "var_vqvae", "llamagen_c2i": "llamagen_vq", "hart_t2i": "hart_tokenizer"}
SWITCHED = {
    "var": """
        backbone.block.norm=rms backbone.block.norm_eps=1e-2 backbone.positions.places=sincos
        backbone.positions.levels=resolution backbone.block.mlp=gelu_erf backbone.block.qk_norm=false
        backbone.block.biases=all backbone.condition.modulation=none backbone.condition.start=learned
        backbone.condition.prefix=vector code_head.norm=rms code_head.norm_eps=1e-2 code_head.modulated=false
        conditioner.null_is=vector
    """,
    "var_shared_aln": "backbone.block.attention_gain=1.0 backbone.condition.modulation=pooled",
    "llamagen_c2i": """
        backbone.block.norm=layer backbone.block.norm_eps=1e-2 backbone.positions.rotary=axis
        backbone.positions.rotary=crossed backbone.positions.rotary=none backbone.positions.rotates=drawn
        backbone.positions.prefix_rotary=identity backbone.positions.prefix_rotary=rotate
        backbone.positions.places=sincos backbone.positions.levels=table backbone.block.biases=no_key
        backbone.condition.start=vector code_head.norm=layer code_head.norm_eps=1e-2
    """,
    "hart_t2i": """
        backbone.block.norm=layer backbone.block.norm_gain=false backbone.block.one_norm=false
        backbone.positions.rotary=axis backbone.positions.rotary=interleaved backbone.positions.coordinates=index
        backbone.positions.rotary_shift=false backbone.condition.pool=max backbone.positions.prefix_rotary=identity
        backbone.positions.prefix_rotary=zero backbone.condition.prefix_sees=past backbone.condition.padding=masked
        backbone.positions.levels=resolution backbone.condition.modulation=none backbone.condition.prefix=both
        backbone.block.mlp=gelu code_head.pool=given code_head.pool=mean code_head.norm=layer
        code_head.norm_gain=false conditioner.norm=none conditioner.norm_eps=1.0 conditioner.null_is=random
        conditioner.null_mask=all
    """,
}
SEEN = 3e-5  # logits are compared to 1e-5
OPTIONS = [(name, option) for name, options in SWITCHED.items() for option in options.split()]


def built(case, *overrides):
    """The case's model, every official tensor in its place if there is one of its shape."""
    composed = compose(case.experiment(), overrides)
    torch.manual_seed(0)
    model = assemble_model(composed, assemble_data(composed).spec)
    ours = model.state_dict()
    for one in (case, Case(CASES[case.name])):
        family, named = recognise(one.weights)
        found = family.apply(named).tensors
        model.load_state_dict({k: v for k, v in found.items() if k in ours and v.shape == ours[k].shape}, strict=False)
    return model.eval()


@torch.no_grad()
def logits(case, model):
    """Of the teacher-forced pass, for rows that ask for something, then for as many that ask for nothing."""
    if "train.image" in case.ins:
        tokens = model.tokenizer.encode(case.ins["train.image"])
    else:
        tokens = Tokens(model.tokenizer.blank(2).latent, [case.ins["train.tokens"]])
    truth = replay(model.tokenizer, tokens, model.order.scales, ())
    batch = {"label": case.ins.get("train.label", case.ins.get("train.cond"))}
    if "train.context" in case.ins:
        batch = {"text": case.ins["train.context"], "text_mask": case.ins["train.context_mask"]}
    given = model.conditioner(batch, None)
    given = given.guided()
    due = SetOrder(model.tokenizer.spec, patch=(1, 1) if case.name == "llamagen_c2i" else ()).training(2, Draws("none"))
    return model.code_head.logits(model.backbone(truth.canvas, truth.views, due, given), given)


@cache
def expected(name):
    """The case, and its logits with every option as published."""
    case = Case(name)
    return case, logits(case, built(case))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_switching_an_option_is_seen(name, option):
    case, before = expected(name)
    after = logits(case, built(case, f"model.{option}"))
    moved = ((after - before).abs().max() / before.abs().max()).item()
    assert moved > SEEN, f"{option} moves the logits by {moved:.2g}: parity would not see it"


def test_mixtures_are_seen():
    """Temperature and gain of a mixture."""
    rng = torch.Generator().manual_seed(0)
    values, gumbel = (torch.randn(1, 4, 16, generator=rng) for _ in range(2))
    before = gumbel_mixture(values, gumbel, 0.2, 1.5)
    for temperature, gain in ((0.2, 1.0), (0.3, 1.5)):
        assert (gumbel_mixture(values, gumbel, temperature, gain) - before).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "setting", "step"),
    [("var", "ramp=constant", 1), ("var", "top_k=0", 0), ("var", "top_p=1.0", 0), ("hart_t2i", "top_k=600", 7),
     ("hart_t2i", "mix_tells=mixture", 0), ("hart_t2i", "mix=0", 0), ("hart_t2i", "mix_gain=1.0", 3),
     ("hart_t2i", "head_steps=10", 7), ("llamagen_c2i", "guidance=1.5", 9)],
)  # fmt: skip
def test_settings_of_the_presets_are_read(name, setting, step):
    """A published sampler's settings of a step change when its list does; runs of parity are built from the same."""
    case = Case(name)
    assert settings_at(sampler(case), step, 8) != settings_at(sampler(case, setting), step, 8)
