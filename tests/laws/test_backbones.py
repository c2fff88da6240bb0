"""The laws of backbones, over every card and what its options can make of it, in one, two and three dimensions."""

import pytest
import torch

from hybridgen.backbones.causal import CausalBackbone
from hybridgen.laws.backbones import BACKBONE_LAWS, generation_is_teacher_forcing, served, steps_see_only_the_past
from hybridgen.laws.toy import CLASSES, plain, pyramid
from tests.laws.tiny import DIMS, MASKED, SLOW, TRANSFORMER, build, cards

POOLED = [
    "positions.places=none",
    "condition.modulation=pooled",
    "condition.pool=mean",
    "block.norm=rms",
    "block.norm_gain=true",
    "block.one_norm=true",
    "block.qk_norm=true",
]
TURNED = [
    "positions.rotary=interleaved",
    "positions.rotates=read",
    "positions.coordinates=index",
    "positions.prefix_rotary=zero",
    "condition.prefix_sees=past",
]
BARE = [
    "positions.places=none",
    "positions.levels=none",
    "condition.modulation=none",
    "block.norm=rms",
    "block.mlp=swiglu",
    "block.biases=none",
]
CARDS = [
    pytest.param(
        card, options, plain if card.startswith("masked") else pyramid,
        marks=SLOW if card.startswith("masked_") else (),  # presets of a card that is judged as well
    )
    for card, options in cards("backbone")
]  # fmt: skip
OPTIONS = (
    [
        ("causal", [*TRANSFORMER, *more], tokens)
        for more, tokens in [
            (["condition.cross=true"], pyramid),
            (["positions.places=sincos", "positions.levels=resolution", "block.qk_norm=true"], pyramid),
            (["reads=vectors"], plain),
            (["reads=codes", "positions.places=sincos"], plain),
            (
                [
                    "condition.start=vector",
                    "condition.modulation=shared",
                    "block.biases=no_key",
                    "block.attention_gain=0.25",
                ],
                pyramid,
            ),
        ]
    ]
    + [
        ("causal", [*TRANSFORMER, "width=24", *more], tokens)  # heads of 12: pairs for one, two and three axes
        for more, tokens in [
            (
                [
                    "positions.rotary=axis",
                    "condition.prefix=both",
                    "positions.prefix_rotary=identity",
                    "block.mlp=gelu_erf",
                    "block.mlp_multiple=5",
                ],
                pyramid,
            ),
            (
                [
                    "condition.start=prefix",
                    "condition.prefix=both",
                    "positions.rotary=crossed",
                    "positions.rotary_shift=true",
                    "positions.levels=index",
                    *POOLED,
                ],
                pyramid,
            ),
            (
                ["condition.start=prefix", "condition.prefix=vector", "reads=codes", "embeds=false", *TURNED, *BARE],
                plain,
            ),
            (
                [
                    "condition.prefix=both",
                    "condition.prefix_sees=past",
                    "reads=vectors",
                    "positions.rotary=axis",
                    "positions.rotates=read",
                ],
                plain,
            ),
        ]
    ]
    + [
        ("masked", [*MASKED, *more], plain)
        for more in [
            ["block.mlp=gelu_erf", "encoder_width=16", "encoder_heads=2"],
            ["sees=all", "reads=codes", "out_places=false"],
            ["sees=all", "depth=0", "norm_places=false", "encoder_width=16", "encoder_heads=2"],
        ]
    ]
)


def made(card, options, tokens):
    torch.manual_seed(0)
    return build("backbone", card, options, {"tokens": tokens, "classes": CLASSES})


def short(value):
    """The name of a case, the same in every process: an address is not."""
    return getattr(value, "__name__", str(value)[-18:])


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize(
    ("card", "options", "tokens"), CARDS, ids=lambda value: getattr(value, "__name__", str(value)[-18:])
)
def test_laws(card, options, tokens, dims):
    backbone = made(card, options, tokens(dims))
    for law in BACKBONE_LAWS:
        law(backbone, tokens(dims))


@pytest.mark.slow
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    ("card", "options", "tokens"), OPTIONS, ids=lambda value: getattr(value, "__name__", str(value)[-18:])
)
def test_laws_with_other_options(card, options, tokens, dims):
    test_laws(card, options, tokens, dims)


def test_sets_of_the_first_scale_begin_alike():
    """Also the later sets of the first scale start from the condition, in training as in sampling."""
    backbone = made("causal", TRANSFORMER, plain(2))
    assert any(told.sets == 3 for told in served(backbone, plain(2)))
    generation_is_teacher_forcing(backbone, plain(2))


@pytest.mark.parametrize("reads", ["vectors", "codes"])
def test_readers_of_the_last_step_serve_equal_steps_only(reads):
    backbone = made("causal", [*TRANSFORMER, f"reads={reads}"], plain(2))
    assert [(told.sets, len(told.steps)) for told in served(backbone, plain(2))] == [(1, 1), (1, 6), (1, 18)]
    assert not served(made("causal", [*TRANSFORMER, f"reads={reads}"], pyramid(2)), pyramid(2))


class Peeping(CausalBackbone):
    """Sees, of each step, what it draws."""

    def forward(self, canvas, views, due, condition):
        return super().forward(canvas, views, due, condition) + self._content(canvas, 0, due.positions)


class Blind(CausalBackbone):
    """Sees nothing of what was drawn."""

    def forward(self, canvas, views, due, condition):
        return super().forward(canvas, {s: 0 * view for s, view in views.items()}, due, condition)


class OneLate(CausalBackbone):
    """Forgets its cache at each step."""

    def advance(self, state, canvas, view, step):
        fresh = self.begin(state.condition)
        fresh.first, fresh.previous = state.first, state.previous
        hidden = super().advance(fresh, canvas, view, step)
        state.first, state.previous = fresh.first, fresh.previous
        return hidden


@pytest.mark.parametrize(
    ("broken", "options", "tokens", "law"),
    [
        (Peeping, ["reads=vectors"], plain, steps_see_only_the_past),
        (Blind, [], pyramid, steps_see_only_the_past),
        (OneLate, [], pyramid, generation_is_teacher_forcing),
    ],
)
def test_laws_see_what_is_broken(broken, options, tokens, law):
    backbone = made("causal", [*TRANSFORMER, *options], tokens(2))
    backbone.__class__ = broken
    with pytest.raises(AssertionError):
        law(backbone, tokens(2))
