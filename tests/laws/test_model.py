"""The laws of whole models: every kind of parts put together, one generator."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from hybridgen.backbones.base import Backbone
from hybridgen.backbones.causal import CausalBackbone
from hybridgen.diffusion.solvers import DDPM
from hybridgen.laws.backbones import BACKBONE_LAWS, condition_is_read
from hybridgen.laws.model import MODEL_LAWS, generation_is_teacher_forcing
from hybridgen.laws.toy import data, examples, plain, shaken
from hybridgen.model import Given, HybridModel
from hybridgen.nn.block import Block
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import put, repeat_rows, take
from hybridgen.samplers.sampler import Sampler
from hybridgen.samplers.schedules import guide
from hybridgen.system.errors import UserError
from hybridgen.types import StepLayout
from tests.laws.tiny import SLOW, UNEVEN, model

GUIDED = Sampler(guidance=(1.5, 2.0), head_guidance=2.5, head_steps=2)
SETS = Sampler(sets=3, guidance=2.0, ramp="linear", head_steps=2, top_k=7, top_p=0.95)
PLAIN = Sampler(head_steps=2)
CODES = ["residual_head=null", "tokenizer=pyramid"]
ALL_AT_ONCE = ["order=last", "backbone=none", "code_head=null", "join=hidden"]
GUESSES = ["backbone.sees=all", "backbone.reads=codes", "backbone.embeds=false", "code_head.modulated=false"]
NO_CODES = ["code_head=null", "join=hidden"]
SINES = ["positions.places=sincos", "positions.levels=resolution", "block.qk_norm=true"]
MODELS = {
    "hybrid": ([], GUIDED, 2),
    "hybrid in sets": (["order.drop=0.5", "order.keep_at_least=1"], SETS, 2),
    "hybrid, sound": ([], SETS, 1),
    "hybrid, video": ([], GUIDED, 3),
    "hybrid, diffusion": (["residual_head=diffusion", "draws=2"], Sampler(solver=DDPM(), head_steps=3), 2),
    "hybrid, grid flow": (["residual_head=grid_flow"], GUIDED, 2),
    "hybrid, regression": (["residual_head=regression"], GUIDED, 2),
    "residual of drawn codes": (["residual_from=sampled"], GUIDED, 2),
    "residual of likely codes": (["residual_from=argmax", "conditioner=none"], PLAIN, 2),
    "residual everywhere": (["residual_at=all", "join=add"], GUIDED, 2),
    "join hidden": (["join=hidden"], PLAIN, 2),
    "join with a convolution": (["join_conv=true"], SETS, 2),
    "mixtures": ([], Sampler(mix=0.5, head_steps=2, temperature=(1.0, 0.5)), 2),
    "sines": ([f"backbone.{option}" for option in SINES], GUIDED, 2),
    "codes": (CODES, SETS, 2),
    "codes, video": (CODES, GUIDED, 3),
    "one scale, code by code": (
        [*CODES[:1], "tokenizer=discrete", "order.patch=[1, 1]", "backbone.reads=vectors"], Sampler(guidance=2.0), 2,
    ),
    "one scale, in sets": (["tokenizer=discrete"], SETS, 2),
    "all at once, flow": ([*ALL_AT_ONCE, "residual_head=grid_flow"], GUIDED, 2),
    "all at once, diffusion": ([*ALL_AT_ONCE, "residual_head=grid_diffusion"], Sampler(solver=DDPM(), head_steps=2), 2),
    "all at once, sound": ([*ALL_AT_ONCE, "residual_head=grid_flow", "tokenizer=patch"], GUIDED, 1),
    "patches, row by row": (
        [*NO_CODES, "tokenizer=patch", "order.patch=[1, 4]", "backbone.reads=vectors", "residual_head=grid_flow"],
        GUIDED, 2,
    ),
    "continuous, one by one": (
        [*NO_CODES, "tokenizer=continuous", "order.patch=[1, 1]", "backbone.reads=vectors"], PLAIN, 2,
    ),
    "continuous, codes of what was read": (
        ["tokenizer=discrete", "order.patch=[1, 4]", "backbone.reads=codes"], PLAIN, 2,
    ),
    "continuous, in random sets": (
        [*NO_CODES, "tokenizer=patch", "order=sets", "backbone=masked", "residual_head=diffusion"],
        Sampler(sets=3, ramp="known", guidance=2.0, solver=DDPM(), head_steps=2), 2,
    ),
    "codes, the surest first": (
        [*CODES[:1], "tokenizer=discrete", "order=sets_cosine", "backbone=masked", *GUESSES],
        Sampler(sets=4, by="confidence", guidance=2.0), 2,
    ),
    "codes and residual, in random sets": (
        ["tokenizer=discrete", "order=sets", "backbone=masked", "backbone.block.dropout=0.1"], SETS, 3,
    ),
}  # fmt: skip


FAST = ("hybrid", "hybrid, diffusion", "codes", "all at once, flow", "continuous, in random sets")
CASES = [pytest.param(*case, id=name, marks=() if name in FAST else SLOW) for name, case in MODELS.items()]


@pytest.mark.parametrize(("overrides", "sampler", "dims"), CASES)
def test_laws(overrides, sampler, dims):
    made, x = model(*overrides, dims=dims), examples(data(dims), 4)
    for law in MODEL_LAWS:
        law(made, sampler, x)


@pytest.mark.parametrize("dims", [pytest.param(1, marks=SLOW), 2, pytest.param(3, marks=SLOW)])
@pytest.mark.parametrize(
    ("overrides", "sampler"),
    [([], SETS), (["residual_head=grid_flow"], GUIDED), (["tokenizer=pyramid", "residual_head=null"], GUIDED)],
    ids=["hybrid in sets", "hybrid, grid flow", "codes"],
)
def test_laws_on_uneven_data(overrides, sampler, dims):
    """Sides that differ and are no powers of two, from the data to the canvas and back."""
    made = model(*overrides, f"tokenizer.scales={UNEVEN[dims]}", dims=dims, uneven=True)
    for law in MODEL_LAWS:
        law(made, sampler, examples(data(dims, uneven=True), 4))


class Remembering(Backbone):
    """A transformer that sees all that is known and guesses the rest, anew at every step: it may revisit positions."""

    revisits = True

    def __init__(self, tokens, *, width=16):
        super().__init__()
        self.width, self.tokens = width, tokens
        self.table, self.inp = nn.Embedding(tokens.vocab, width), nn.Linear(tokens.channels, width)
        self.unknown = nn.Parameter(torch.randn(width))
        self.places = nn.Parameter(torch.randn(prod(tokens.grid), width))
        self.block = Block(width, 2, 2.0, "adaln")

    def forward(self, canvas, views, due, condition):
        open_ = put(canvas.known[0], due.positions, torch.zeros_like(due.positions, dtype=torch.bool))
        x = torch.where(open_[..., None], self.table(canvas.codes[0]), self.unknown) + self.places
        x = self.block(repeat_rows(x, condition.rows), condition.pooled())
        return take(x, repeat_rows(due.positions, condition.rows))

    def begin(self, condition):
        return condition

    def advance(self, state, canvas, view, step):
        n = step.positions.shape[1]
        return self(canvas, {}, StepLayout(step.positions, (n,), (step.scale,), (step.grid,)), state)

    def embed(self, vectors):
        return self.inp(vectors)


def remembering(*overrides):
    """A model of one scale whose backbone revisits positions."""
    plain = model("tokenizer=discrete", "order.drop=0.3", "order.keep_at_least=1", *overrides)
    backbone = Remembering(plain.tokenizer.spec)
    heads = plain.code_head, plain.residual_head
    return HybridModel(plain.tokenizer, plain.conditioner, plain.order, backbone, *heads)


BY_CONFIDENCE = Sampler(sets=4, by="confidence", guidance=2.0, head_steps=2)


@pytest.mark.slow
def test_laws_of_a_backbone_that_revisits():
    made = remembering()
    for law in MODEL_LAWS:
        law(made, BY_CONFIDENCE, examples(data(2), 4))


@pytest.mark.slow
def test_laws_of_the_revisiting_backbone_itself():
    torch.manual_seed(0)
    for law in BACKBONE_LAWS:
        if law is not condition_is_read:  # it reads no tokens
            law(Remembering(plain(2)), plain(2))


def test_confidence_keeps_the_surest():
    """Of what a step draws, the codes kept are likelier, on the mean, than those thrown back."""
    made, steps = shaken(remembering()), []
    told = made.conditioner({"label": torch.arange(40) % 3}, None)
    made.sample(told, range(40), BY_CONFIDENCE, record=steps)
    assert [planned.step.positions.shape[1] for planned in steps] == [2, 3, 5, 6]
    first = steps[0]
    law = guide(made.code_head.logits(first.hidden, told.guided()), 2.0, 40).softmax(-1)
    kept = take(law, first.step.positions).gather(-1, take(first.canvas.codes[0], first.step.positions)[..., None])
    everywhere = law.square().sum(-1)  # expected probability of a drawn code
    assert kept.mean() > 1.2 * everywhere.mean()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [([], "this backbone sees each once"), (["code_head=null", "join=hidden", "tokenizer=patch"], "draws none")],
)
def test_confidence_is_refused_where_it_cannot_be(overrides, message):
    made = model(*overrides)
    told = made.conditioner({"label": torch.arange(2)}, None)
    with pytest.raises(UserError, match=f"sampler.by: 'confidence'.*{message}.*'random'"):
        made.sample(told, [0, 1], Sampler(by="confidence", sets=2))


def test_codes_need_a_hidden_vector_a_position():
    with pytest.raises(UserError, match=r"one hidden vector per step.*code_head=null"):
        model("backbone=none", "join=hidden")


def test_steps_of_unequal_size_cannot_read_each_other():
    made = model("tokenizer=pyramid", "residual_head=null", "backbone.reads=codes")
    x = examples(data(2), 2)
    with pytest.raises(UserError, match="one scale and one size"):
        made.loss(made.tokenizer.encode(x), {"label": torch.arange(2)}, Draws("law"))
    told = made.conditioner({"label": torch.arange(2)}, None)
    with pytest.raises(UserError, match=r"(?s)reads 'codes'.*sampler\.sets=1"):
        made.sample(told, [0, 1], Sampler())


def test_all_given_is_the_picture_itself():
    made, x = shaken(model()), examples(data(2), 3)
    tokens = made.tokenizer.encode(x)
    told = made.conditioner({"label": torch.arange(3)}, None)
    drawn = made.sample(told, [0, 1, 2], PLAIN, Given(tokens, torch.ones(3, 1, 4, 4)))
    torch.testing.assert_close(drawn, made.tokenizer.decode(tokens.latent), rtol=0, atol=1e-5)


def test_numbers_of_the_first_pictures_are_kept_between_settings():
    """A list that is shorter than the steps goes on with its last number."""
    made = shaken(model())
    told = made.conditioner({"label": torch.arange(3)}, None)
    short, full = (Sampler(temperature=t, head_steps=2) for t in ((0.5, 0.7), (0.5, 0.7, 0.7, 0.7)))
    assert torch.equal(made.sample(told, [0, 1, 2], short), made.sample(told, [0, 1, 2], full))


class Forgetful(CausalBackbone):
    """Reads the canvas as it is, not as the scale began: teacher forcing then sees what generation did not."""

    def advance(self, state, canvas, view, step):
        state.previous, previous = None, state.previous
        hidden = super().advance(state, canvas, view, step)
        return hidden if previous is None else hidden + 0.1


@pytest.mark.parametrize("law", [generation_is_teacher_forcing], ids=lambda law: law.__name__)
def test_laws_see_what_is_broken(law):
    broken = model()
    broken.backbone.__class__ = Forgetful
    with pytest.raises(AssertionError):
        law(broken, GUIDED, examples(data(2), 3))


def test_sampling_moves_no_global_generator():
    """Nor numpy's; Python's own the core may not even import, and the shape checker of the tests draws from it."""
    made, states = shaken(model()), []
    told = made.conditioner({"label": torch.arange(2)}, None)
    for seeds in ([0, 1], [2, 3]):
        made.sample(told, seeds, SETS)
        legacy = np.random.get_state()[1:3]  # noqa: NPY002 - the legacy state is what is guarded
        states.append((legacy[0].tobytes(), legacy[1], torch.get_rng_state().tolist()))
    assert states[0] == states[1]
