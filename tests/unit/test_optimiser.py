"""Which weights decay, and the learning rate of each step."""

import pytest
import torch
from tiny_run import tiny

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.system.errors import UserError
from hybridgen.training.optimiser import clip, lr_share, make_optimiser
from hybridgen.training.settings import Training


@pytest.fixture(scope="module")
def model():
    composed = tiny()
    return assemble_model(composed, assemble_data(composed).spec)


def decays(model, **settings):
    """Name -> weight decay."""
    optimiser = make_optimiser(model, Training(weight_decay=0.5, **settings))
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}


def test_matrices_decay_and_embeddings_do_not(model):
    found = decays(model)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert all(not found[name] for name, p in model.named_parameters() if p.dim() < 2), "norms and biases"
    assert found["backbone.inp.weight"] == 0.5
    assert found["conditioner.table.weight"] == 0
    assert found["backbone.start"] == 0


def test_frozen_weights_are_not_its_business(model):
    model.backbone.requires_grad_(False)
    try:
        assert not any(name.startswith("backbone.") for name in decays(model))
    finally:
        model.backbone.requires_grad_(True)


def shares(**settings):
    chosen = Training(steps=100, **settings)
    return [lr_share(step, chosen) for step in range(101)]


def test_warm_up_and_cosine():
    found = shares(warmup=0.1, final_lr=0.2)
    assert found[0] == pytest.approx(1 / 11), "the first step moves"
    assert found[:11] == sorted(found[:11])
    assert found[10] == max(found) == pytest.approx(1.0)
    assert found[10:] == sorted(found[10:], reverse=True)
    assert found[55] == pytest.approx(0.6), "half-way down from 1 to 0.2"
    assert found[100] == pytest.approx(0.2)


def test_no_warm_up():
    assert shares(warmup=0.0)[0] == 1.0


def test_a_second_cosine():
    found = shares(warmup=0.0, restart_at=0.8, lr=1e-3, restart_lr=5e-4)
    assert found[79] < 0.01
    assert found[80] == pytest.approx(0.5)
    assert found[90] == pytest.approx(0.25)
    assert found[100] == pytest.approx(0.0)


@pytest.mark.parametrize("norm", [0.0, 1.0])
def test_clipping(norm):
    weight = torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.full((4,), 3.0)
    clip([weight], norm)
    assert weight.grad.norm().item() == pytest.approx(norm or 6.0, rel=1e-5)


def test_parts_of_a_batch_are_equal():
    with pytest.raises(UserError, match="accumulate: 3 parts of equal size cannot make a batch of 8"):
        Training(batch=8, accumulate=3)
