"""The adversary of a tokenizer: its losses, its weight, its network, and what its training counts."""

import pytest
import torch
from tiny_run import curves, differing
from tiny_stage import ADVERSARY, STEPS, few_examples, train
from torch import nn

from hybridgen.nn.discriminator import PatchDiscriminator, adaptive_weight, deceiving_loss, hinge_loss
from hybridgen.nn.draws import keyed
from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.tokenizers.adversary import PatchAdversary
from hybridgen.training.optimiser import lr_share
from hybridgen.training.settings import Training


def test_hinge_losses():
    """Nothing is to be gained beyond 1 and below -1."""
    real, fake = torch.tensor([2.0, 0.5]).view(2, 1, 1), torch.tensor([-3.0, 0.0]).view(2, 1, 1)
    assert hinge_loss(real, fake).item() == pytest.approx(0.5 * (0.5 / 2 + 1.0 / 2))
    assert hinge_loss(2 * torch.ones(1, 1, 3), -2 * torch.ones(1, 1, 3)) == 0
    assert deceiving_loss(fake).item() == pytest.approx(1.5)


def test_the_adaptive_weight_is_its_formula():
    """Equation 7 on a toy: a decoder y = w h, errors |y - x|^2 / 2 and a discriminator a y."""
    h, x, a = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 1.0]), torch.tensor([0.25, -0.5])
    w = nn.Parameter(torch.tensor(3.0))
    y = w * h
    errors, deceiving = 0.5 * (y - x).square().sum(), -(a * y).sum()
    grads = [torch.autograd.grad(loss, w, retain_graph=True)[0] for loss in (errors, deceiving)]
    by_hand = abs(((3 * h - x) * h).sum()) / (abs((a * h).sum()) + 1e-4)
    assert adaptive_weight(*grads, 1e4).item() == pytest.approx(by_hand.item())
    assert adaptive_weight(*grads, 5.0) == 5.0
    assert adaptive_weight(grads[0], torch.zeros(()), 1e4) == 1e4
    assert not adaptive_weight(*grads, 1e4).requires_grad


@pytest.mark.parametrize(
    ("size", "layers", "patches"),
    [
        ((256, 256), 3, (30, 30)),  # the published network
        ((70, 46), 3, (6, 3)),
        ((28, 28), 2, (5, 5)),
        ((1003,), 4, (60,)),
        ((11,), 1, (3,)),
        ((5, 48, 40), 3, (2, 4, 3)),  # few frames are halved once
        ((3, 13, 8), 1, (2, 4, 2)),
        ((1, 1), 3, (1, 1)),
    ],
)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_patches_of_any_size(size, layers, patches, norm):
    net = PatchDiscriminator(2, size, 8, layers, norm)
    logits = net(torch.randn(2, 2, *size, generator=keyed("x")))
    assert logits.shape == (2, 1, *patches)
    assert net.grid == patches


def test_a_patch_sees_70_pixels():
    """The receptive field of the published network."""
    net = PatchDiscriminator(1, (256, 256), 8, 3, "none")
    x = torch.randn(1, 1, 256, 256, generator=keyed("x")).requires_grad_()
    net(x)[0, 0, 15, 15].backward()
    seen = x.grad[0, 0].abs().sum(0).nonzero()
    assert seen.max() - seen.min() + 1 == 70


def test_settings_that_cannot_be():
    with pytest.raises(UserError, match="no multiple of 8"):
        PatchAdversary(width=12)
    with pytest.raises(UserError, match="betas"):
        PatchAdversary(betas=(0.5, 1.0))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tokenizer trained against an adversary from step 5 on, its averages and its folder."""
    folder = tmp_path_factory.mktemp("trained")
    module, ema = train("adversary", folder, examples=few_examples())
    return module, ema, folder


def test_steps_are_training_steps(trained):
    """Each counts once, whatever the discriminator does: averages, checkpoints, logged lines, the learning rate."""
    module, ema, folder = trained
    assert ema.updates == module.trainer.global_step == STEPS
    saved = torch.load(Run(folder).checkpoint, weights_only=True)
    assert saved["global_step"] == STEPS
    lines = [(step, values) for _, step, values in curves(folder) if "train/lr" in values]
    assert [step for step, _ in lines] == list(range(1, STEPS + 1))
    settings = Training(steps=STEPS)
    assert [v["train/lr"] for _, v in lines] == [
        pytest.approx(settings.lr * lr_share(step, settings)) for step, _ in lines
    ]
    assert [step for step, v in lines if "train/discriminator" in v] == list(range(6, STEPS + 1))


def test_the_discriminator_is_in_the_checkpoint_alone(trained):
    module, ema, folder = trained
    saved = torch.load(Run(folder).checkpoint, weights_only=True)
    assert any(name.startswith("discriminator.") for name in saved["state_dict"])
    assert len(saved["optimizer_states"]) == 2
    assert saved["optimizer_states"][1]["state"], "its moments"
    assert not any("discriminator" in name for name in (*ema.names, *module.tokenizer.state_dict()))


@pytest.mark.slow
def test_until_it_starts_nothing_is_changed(trained, tmp_path):
    """The logged losses of the first steps are those without an adversary, to the bit."""
    train("tokenizer", tmp_path, examples=few_examples())
    plain, against = ([(step, v) for _, step, v in curves(f) if step <= 4] for f in (tmp_path, trained[2]))
    assert plain
    assert plain == against


@pytest.mark.slow
def test_both_learn(trained, tmp_path):
    """The discriminator's weights move, and the tokenizer's differ from those without it."""
    module, _, _ = trained
    start = PatchDiscriminator(1, (28, 28), 8, 3, "group").state_dict()
    assert differing(start, module.discriminator.state_dict())
    plain, _ = train("tokenizer", tmp_path, examples=few_examples())
    assert differing(plain.tokenizer.state_dict(), module.tokenizer.state_dict())


@pytest.mark.slow
def test_parts_of_a_batch_make_one_step(tmp_path):
    """With batch 8 in 2 parts there are as many steps, and the first, before the adversary's, end near alike."""
    _, ema = train("adversary", tmp_path, examples=few_examples(), accumulate=2)
    assert ema.updates == STEPS
    assert torch.load(Run(tmp_path).checkpoint, weights_only=True)["global_step"] == STEPS


@pytest.mark.slow
def test_a_fixed_weight(tmp_path):
    parts = [ADVERSARY[0].replace("start: 0.4", "start: 0.0, adaptive: false, weight: 0.3")]
    train("tokenizer", tmp_path, examples=few_examples(), parts=parts)
    first = curves(tmp_path)[0][2]
    assert first["train/adversarial_weight"] == pytest.approx(0.3)


def test_compiled_graphs_are_walked_once(tmp_path):
    """torch may clear on the way what the second pass needs, and give wrong gradients without a word."""
    with pytest.raises(UserError, match=r"compile: the adaptive weight(.|\n)*adaptive=false"):
        train("adversary", tmp_path, examples=few_examples(), compile=True)
