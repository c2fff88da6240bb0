"""The laws of heads, over every head, in one, two and three dimensions; and what only some of them promise."""

import pytest
import torch

from hybridgen.config.registry import Registry
from hybridgen.config.yaml_text import Place
from hybridgen.diffusion.denoising import Denoising
from hybridgen.diffusion.flow_matching import FlowMatching
from hybridgen.diffusion.solvers import DDPM, Heun
from hybridgen.heads.categorical import CategoricalHead, filter_logits
from hybridgen.heads.denoise import guide
from hybridgen.heads.diffusion import DiffusionHead
from hybridgen.heads.flow import FlowHead
from hybridgen.heads.grid_diffusion import GridDiffusionHead
from hybridgen.heads.grid_flow import GridFlowHead
from hybridgen.heads.grid_net import Layout
from hybridgen.heads.regression import RegressionHead
from hybridgen.laws.code_heads import CODE_LAWS
from hybridgen.laws.measure import stirred
from hybridgen.laws.moments import draws_known_moments
from hybridgen.laws.residual_heads import RESIDUAL_LAWS
from hybridgen.nn.draws import Draws, keyed
from hybridgen.system.errors import UserError
from hybridgen.types import Condition, TokenSpec
from tests.laws.tiny import SLOW, build, cards, tiny

WIDTH = 16
GRIDS = [(6,), (2, 4), (2, 2, 4)]
TOKEN, GRID = {"mlp_width": 16, "depth": 2}, {"head_width": 16, "depth": 2, "heads": 2}
EPS = FlowMatching(prediction="eps", times="uniform")
MORE = {  # what the options of a card can make of it
    "flow": ["objective.times=uniform", "normalise=none", "objective=denoising"],
    "diffusion": [
        "objective.prediction=eps", "objective.likelihood=bins",
        "objective={prediction: x0, schedule: linear, learned_variance: false}",
    ],
    "grid_flow": [
        "layout={patch: 2, places: kept}", "objective={unread: true, time_input: data}", "guided_channels=2",
        "objective.curve=circle", "objective={curve: vp, prediction: eps, times: uniform, span: [1.0e-3, 1.0]}",
    ],
    "grid_diffusion": [
        "layout.patch=2", "guided_channels=2", "mlp_ratio=2.0", "layout={condition_input: plain, places: kept}",
    ],
    "regression": ["normalise=none"],
}  # fmt: skip
REGISTRY = Registry()
PRESETS = [
    name
    for name in REGISTRY.names("residual_head")
    if REGISTRY.card("residual_head", name, Place("test")).options.values
]
CASES = [(card, options, GRIDS[0]) for card, options in cards("residual_head")]
CASES += [(card, [*tiny("residual_head", card), more], GRIDS[0]) for card in MORE for more in MORE[card]]
CASES += [
    (card, options, grid) for card, options in cards("residual_head") if card not in PRESETS for grid in GRIDS[1:]
]


def tokens(grid=(6,), channels=3, vocab=11):
    return TokenSpec(grid=grid, channels=channels, scales=(grid,), vocab=vocab)


def short(value):
    """The name of a case."""
    return value if isinstance(value, str) else "x".join(map(str, value)) if isinstance(value, tuple) else value[-1]


@pytest.mark.parametrize(
    ("card", "options", "grid"),
    [pytest.param(*case, marks=SLOW if case[0] in PRESETS else ()) for case in CASES],
    ids=short,
)
def test_residual_laws(card, options, grid):
    """Over every card: as it is, with other options, and in two and three dimensions."""
    torch.manual_seed(0)
    head = build("residual_head", card, options, {"tokens": tokens(grid), "width": WIDTH})
    for law in RESIDUAL_LAWS:
        law(head, tokens(grid), WIDTH)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: GridFlowHead(tokens(), 8, **GRID, layout=Layout(condition_input="plain")),
            "width 8 are no condition of width 16",
        ),
        (
            lambda: GridFlowHead(tokens(), WIDTH, **GRID, layout=Layout(patch=4, places="kept")),
            "does not tile the grid",
        ),
        (
            lambda: GridFlowHead(tokens(), WIDTH, **GRID, layout=Layout(places="kept")).net(
                torch.zeros(1, 4, 3), torch.zeros(1, 4), torch.zeros(1, 1, WIDTH), (4,)
            ),
            "kept for the grid",
        ),
        (
            lambda: stirred(GridFlowHead(tokens(), WIDTH, **GRID, objective=EPS)).draw(
                torch.zeros(1, 1, WIDTH), (6,), torch.zeros(1, 1, 6, 3), Heun(), 2
            ),
            "set start of the solver below 1",
        ),
    ],
)
def test_what_does_not_fit_is_a_user_error(call, message):
    with pytest.raises(UserError, match=message):
        call()


@pytest.mark.parametrize("law", CODE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    "options",
    [{}, {"modulated": False}, {"norm": "rms", "norm_gain": True, "pool": "max", "bias": False, "first_gain": 0.0}],
    ids=["modulated", "plain", "root mean square"],
)
def test_code_law(options, law):
    torch.manual_seed(0)
    law(CategoricalHead(tokens(), WIDTH, **options), tokens(), WIDTH)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options", "solver", "steps"),
    [
        (FlowHead, {"mlp_width": 64}, Heun(), 12),
        (DiffusionHead, {"mlp_width": 64}, DDPM(), 25),
        (DiffusionHead, {"mlp_width": 64, "objective": Denoising(prediction="eps")}, DDPM(), 25),
        (GridFlowHead, {"head_width": 64, "depth": 2}, Heun(), 12),
        (GridDiffusionHead, {"head_width": 64, "depth": 2}, DDPM(), 25),
    ],
    ids=["flow", "diffusion v", "diffusion eps", "grid flow", "grid diffusion"],
)
def test_trained_heads_draw_known_moments(kind, options, solver, steps):
    torch.manual_seed(0)
    small = tokens(grid=(4,), channels=2)
    draws_known_moments(kind(small, 8, **options), small, 8, solver, steps)


def test_regression_draws_the_mean_and_no_spread():
    """Of two equally likely values it draws the middle, whatever the noise; its loss is what they leave: 1."""
    torch.manual_seed(0)
    head = RegressionHead(tokens(channels=2), WIDTH, **TOKEN)
    told = torch.randn(2, WIDTH, generator=keyed("told"))
    centre = torch.tensor([[4.0, -1.0], [-2.0, 7.0]])
    sign = torch.randn(2, 300, 2, generator=keyed("sign")).sign()
    sign = torch.cat([sign, -sign], 1)  # as often above as below
    target, hidden = centre[:, None] + 3 * sign, told[:, None]
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    for step in range(100):
        optimiser.zero_grad()
        loss = head.loss(target, hidden, (600,), Draws(step)).mean()
        loss.backward()
        optimiser.step()
    assert loss.item() == pytest.approx(9.0, rel=1e-2)
    with torch.no_grad():
        draws = [head.draw(hidden, (6,), torch.zeros(2, 0, 6, 2), solver, 5) for solver in (DDPM(), Heun())]
    assert torch.equal(*draws)
    torch.testing.assert_close(draws[0], centre[:, None].expand(2, 6, 2), rtol=0, atol=0.1)
    assert head.noise_shape(6, DDPM(), 5) == (0, 6, 2)


def test_first_loss_of_flow_is_two():
    """E |noise - r|^2 of two independent unit normals."""
    head = FlowHead(tokens(), WIDTH, **TOKEN)
    target = torch.randn(2000, 6, 3, generator=keyed("target"))
    loss = head.loss(target, torch.zeros(2000, 1, WIDTH), (6,), Draws("loss")).mean()
    assert loss.item() == pytest.approx(2.0, abs=0.05)  # deviation of the mean of 36 000 such numbers: 0.015


def test_learned_variance_is_trained_by_the_bound_alone():
    """The gradient of the bound does not reach the mean."""
    head = stirred(DiffusionHead(tokens(), WIDTH, **TOKEN))
    r, noise = (torch.randn(5, 6, 3, generator=keyed(name)) for name in ("r", "noise"))
    t = torch.full((5, 6), 0.5)
    prediction = torch.randn(5, 6, 6, generator=keyed("p"), requires_grad=True)
    head.objective.bound(prediction, r, t, noise).sum().backward()
    assert prediction.grad[..., :3].count_nonzero() == 0
    assert prediction.grad[..., 3:].all()


@pytest.mark.parametrize(("normalise", "std"), [("none", 1.0), ("constant", 0.3), ("measured", 7.0)])
def test_normalisers(normalise, std):
    head = FlowHead(tokens(), WIDTH, **TOKEN, normalise=normalise, constant=0.3)
    targets = 7 * torch.tensor([[-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]) + 2
    head.fit(targets)
    torch.testing.assert_close(head.std, torch.full((3,), std))
    torch.testing.assert_close(head.mean, torch.full((3,), 2.0 if normalise == "measured" else 0.0))
    assert set(head.state_dict()) >= {"mean", "std"}


def test_a_flat_channel_is_left_unscaled():
    head = FlowHead(tokens(), WIDTH, **TOKEN)
    head.fit(torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.0, 5.0]]))
    torch.testing.assert_close(head.std, torch.tensor([1.0, 1.0, 1.0]))


def test_guidance_leaves_the_variance_alone():
    """null + w (conditional - null) on the prediction; the variance is the conditional half's."""
    both = torch.tensor([[[1.0, 5.0]], [[3.0, 7.0]]])
    torch.testing.assert_close(guide(both, 2.5, 1), torch.tensor([[[3.0 + 2.5 * (1.0 - 3.0), 5.0]]]))


def test_no_codes_is_a_user_error():
    with pytest.raises(UserError, match="the tokenizer gives no codes"):
        CategoricalHead(tokens(vocab=0), WIDTH)


def test_the_condition_modulates():
    head = stirred(CategoricalHead(tokens(), WIDTH))
    hidden = torch.ones(2, 6, WIDTH) * torch.arange(WIDTH)
    a, b = (head.logits(hidden, Condition(vector=v * torch.ones(2, WIDTH))) for v in (0.0, 2.0))
    assert not torch.allclose(a, b)


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0, 1, 2, 3]),
        (2, 1.0, [1, 3]),
        (9, 1.0, [0, 1, 2, 3]),
        (0, 0.39, [3]),
        (0, 0.41, [1, 3]),  # the one that crosses stays
        (0, 0.70, [1, 3]),
        (0, 0.71, [1, 2, 3]),
        (2, 0.56, [3]),  # of what top-k left, code 3 has 4/7 = .571
        (2, 0.58, [1, 3]),
    ],
)
def test_filters(top_k, top_p, kept):
    logits = torch.tensor([0.1, 0.3, 0.2, 0.4], dtype=torch.float64).log()
    assert filter_logits(logits, top_k, top_p).isfinite().nonzero().flatten().tolist() == kept


def test_draws_never_land_on_what_is_filtered():
    """Also at the ends of the uniform numbers, and where the first and the last codes are out."""
    head = CategoricalHead(tokens(vocab=4), WIDTH)
    logits = torch.tensor([-torch.inf, 0.0, 0.0, -torch.inf]).expand(1, 2, 4)
    codes = head.draw(logits, torch.tensor([[[0.0], [1 - 2**-24]]]))
    assert codes.tolist() == [[1, 2]]


def test_temperature_acts_before_the_filters():
    head = CategoricalHead(tokens(vocab=3), WIDTH)
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(1, 1, 3)
    late = torch.tensor([[[0.99]]])
    assert head.draw(logits, late, top_p=0.7).item() == 1
    assert head.draw(logits, late, temperature=0.3, top_p=0.7).item() == 0  # .84, .15, .04
