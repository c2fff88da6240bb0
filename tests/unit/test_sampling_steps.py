"""The sampling loop as a generator: `sample` is its last canvas, and whoever iterates may stop, look and decode."""

from itertools import islice, pairwise

import pytest
import torch

from hybridgen.diffusion.solvers import DDPM, Euler, Heun
from hybridgen.laws.toy import shaken
from hybridgen.samplers.noise import Noise
from hybridgen.samplers.sampler import Sampler
from hybridgen.system.errors import UserError
from tests.laws.tiny import model

SEEDS, SAMPLER = [0, 1], Sampler(guidance=2.0, head_steps=2)


@pytest.fixture(scope="module")
def made():
    return shaken(model())


@pytest.fixture(scope="module")
def given(made):
    with torch.no_grad():
        return made.conditioner({"label": torch.arange(2)}, None)


def noise():
    return Noise(SEEDS, torch.device("cpu"))


def test_the_last_canvas_is_what_sample_decodes(made, given):
    seen = list(made.steps(given, noise(), SAMPLER))
    assert [done.step.scale for done in seen] == [0, 1, 2]
    assert all(later.before is earlier.canvas for earlier, later in pairwise(seen))
    record = []
    assert torch.equal(made.sample(given, SEEDS, SAMPLER, record=record), made.tokenizer.decode(seen[-1].canvas.latent))
    assert all(torch.equal(a.hidden, b.hidden) for a, b in zip(record, seen, strict=True))


def test_looking_on_the_way_changes_nothing(made, given):
    """Each canvas may be decoded before the next step is drawn, and none is changed afterwards."""
    latents, pictures = [], []
    for done in made.steps(given, noise(), SAMPLER):
        latents.append((done.canvas.latent, done.canvas.latent.clone()))
        pictures.append(made.tokenizer.decode(done.canvas.latent))
    assert all(torch.equal(kept, copy) for kept, copy in latents)
    assert torch.equal(pictures[-1], made.sample(given, SEEDS, SAMPLER))


def test_stopping_early_is_the_same_beginning(made, given):
    first = list(islice(made.steps(given, noise(), SAMPLER), 2))
    whole = list(made.steps(given, noise(), SAMPLER))
    assert torch.equal(first[-1].canvas.latent, whole[1].canvas.latent)


def test_no_gradient_is_kept_and_the_caller_keeps_its_own_mode(made, given):
    for done in made.steps(given, noise(), SAMPLER):
        assert torch.is_grad_enabled()
        assert not done.hidden.requires_grad


def test_what_cannot_be_drawn_is_refused_at_the_first_step(made, given):
    with pytest.raises(UserError, match="sees each once"):
        next(made.steps(given, noise(), Sampler(by="confidence", sets=2)))


@pytest.mark.parametrize(
    ("head", "solver", "evaluations"),
    [("flow", Euler(), 5), ("flow", Heun(), 10), ("diffusion", Heun(), 9), ("diffusion", DDPM(), 5),
     ("grid_flow", Heun(), 10), ("grid_diffusion", Heun(), 9), ("regression", Heun(), 1)],
)  # fmt: skip
def test_a_head_knows_its_evaluations(head, solver, evaluations):
    """On the path of the head: a table of noise levels ends above t = 0, so that Heun's last step is Euler's."""
    assert model(f"residual_head={head}").residual_head.evaluations(solver, 5) == evaluations


def test_a_backbone_says_what_it_caches(made, given):
    state = made.backbone.begin(given)
    assert made.backbone.cached(state) == []
    done = next(made.steps(given, noise(), Sampler(head_steps=2)))
    made.backbone.advance(state, done.before, made.tokenizer.view(done.before, 0), done.step)
    held = made.backbone.cached(state)
    assert len(held) == len(made.backbone.blocks)
    assert all(entry.k.shape[2] == done.step.positions.shape[1] for entry in held)
    whole = model("tokenizer=patch", "order=sets", "backbone=masked", "code_head=null", "join=hidden")
    assert whole.backbone.cached(whole.backbone.begin(given)) == []
