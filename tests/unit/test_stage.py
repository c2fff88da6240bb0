"""A stage that is stopped anywhere and goes on ends as if nobody had stopped it, to the last bit."""

import os
import signal
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from tiny_run import curves, differing
from tiny_stage import STEPS, KilledError, few_examples, train

from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.training.callbacks import Saving


class After(pl.Callback):
    """Does something once a step, the last of all callbacks."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            self.act()


@pytest.fixture(scope="module")
def stage():
    """Trains a stage anew, or on in a folder that exists; gives its module and its averages."""
    return partial(train, examples=few_examples())


def die():
    raise KilledError


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["tokenizer", "adversary", "generator"])
def test_killed_and_resumed_equals_unbroken(stage, tmp_path, name, precision, accumulate):
    """Killed before the first checkpoint, on one, and between two; the logged losses and rates are the same too."""
    train = partial(stage, name, precision=precision, accumulate=accumulate)
    whole, averages = train(tmp_path / "whole")
    for step in (3, 8, 11):
        with pytest.raises(KilledError):
            train(tmp_path / "broken", [After(step, die)])
    resumed, again = train(tmp_path / "broken")
    assert differing(whole.state_dict(), resumed.state_dict()) == []
    assert again.updates == averages.updates == STEPS
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")
    steps = [(stage, step) for stage, step, values in curves(tmp_path / "broken") if "train/lr" in values]
    assert steps == [(name, step) for step in range(1, STEPS + 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("tokenizer", ["model.tokenizer={card: continuous, channels: 4}", "model.code_head=null"]),
        ("tokenizer", ["model.tokenizer={card: hybrid_codes_first, vocab: 8, channels: 4, net: {widths: [8, 8]}}"]),
        ("generator", ["model.residual_from=sampled", "model.draws=2", "model.residual_head={card: diffusion}"]),
        ("generator", ["model.order.drop=0.5", "model.join_conv=true", "model.residual_at=all"]),
        (
            "generator",
            ["model.order=last", "model.backbone={card: none, width: 16}", "model.code_head=null", "model.join=hidden",
             "model.residual_head={card: grid_flow, head_width: 16, depth: 1, heads: 2}"],
        ),
    ],
    ids=["continuous", "codes first", "sampled residual", "dropped positions", "all at once"],
)  # fmt: skip
def test_other_parts_resume_as_well(stage, tmp_path, name, parts):
    """No part keeps something to itself that a checkpoint does not hold."""
    whole, _ = stage(name, tmp_path / "whole", parts=parts)
    for step in (6, 9):
        with pytest.raises(KilledError):
            stage(name, tmp_path / "broken", [After(step, die)], parts=parts)
    resumed, _ = stage(name, tmp_path / "broken", parts=parts)
    assert differing(whole.state_dict(), resumed.state_dict()) == []
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")


def test_killed_right_after_a_checkpoint_was_written(stage, tmp_path, monkeypatch):
    """The lines of that step are there already: nobody writes them later."""
    stage("generator", tmp_path / "whole")
    after = Saving.after

    def save_and_die(self, trainer, module):
        after(self, trainer, module)
        if trainer.global_step == 4:
            die()

    with monkeypatch.context() as patch:
        patch.setattr(Saving, "after", save_and_die)
        with pytest.raises(KilledError):
            stage("generator", tmp_path / "broken")
    stage("generator", tmp_path / "broken")
    assert curves(tmp_path / "broken") == curves(tmp_path / "whole")


@pytest.mark.slow
def test_resuming_restores_more_than_weights(stage, tmp_path):
    """With the optimiser, the averages, the codebook or the batches begun anew the outcome would differ."""
    whole, _ = stage("tokenizer", tmp_path / "whole", ema=0.5)
    with pytest.raises(KilledError):
        stage("tokenizer", tmp_path / "broken", [After(4, die)], ema=0.5)
    run = Run(tmp_path / "broken")
    good = torch.load(run.checkpoint, weights_only=True)
    book = next(name for name in good["state_dict"] if name.endswith("codebook.counts"))
    averages = next(key for key in good["callbacks"] if key.startswith("Averaging"))
    assert good["callbacks"][averages]["updates"] == good["global_step"] == 4

    def spoilt(spoil):
        saved = torch.load(run.checkpoint, weights_only=True)
        spoil(saved)
        folder = tmp_path / f"spoilt{len(list(tmp_path.iterdir()))}"
        broken = Run.at(folder, {}, {})
        broken.checkpoint.parent.mkdir()
        torch.save(saved, broken.checkpoint)
        module, _ = stage("tokenizer", folder, ema=0.5)
        return differing(whole.state_dict(), module.state_dict())

    assert spoilt(lambda saved: None) == []
    assert spoilt(lambda saved: saved["optimizer_states"][0]["state"][0]["exp_avg"].zero_())
    assert spoilt(lambda saved: saved["lr_schedulers"][0].update(last_epoch=0))
    assert spoilt(lambda saved: saved["callbacks"][averages].update(updates=0))
    assert spoilt(lambda saved: saved["state_dict"][book].fill_(1.0))


def test_a_finished_stage_takes_no_more_steps(stage, tmp_path):
    whole, _ = stage("generator", tmp_path)
    before = curves(tmp_path)
    again, _ = stage("generator", tmp_path, [After(STEPS + 1, die)])
    assert differing(whole.state_dict(), again.state_dict()) == []
    assert curves(tmp_path) == before


def test_the_module_ends_with_averages(stage, tmp_path):
    module, averages = stage("generator", tmp_path)
    for weight, average in zip(module.parameters(), averages.average, strict=True):
        assert weight.equal(average)
    last = torch.load(Run(tmp_path).checkpoint, weights_only=True)["state_dict"]
    assert differing(last, module.state_dict()), "the averages are not the last weights"


def test_a_frozen_tokenizer_stays_at_rest(stage, tmp_path):
    """Looks at held-out data put everything in evaluation mode; after them each part is as it was."""
    module, _ = stage("generator", tmp_path)
    assert module.model.backbone.training
    assert not module.model.tokenizer.training


@pytest.mark.parametrize("every", [{"log_every": 1}, {"log_every": 100}, {"log_every": 100, "save_every": 100}])
@pytest.mark.parametrize("name", ["tokenizer", "adversary", "generator"])
def test_a_training_that_diverges_is_stopped(stage, tmp_path, name, every):
    """Neither a checkpoint nor the end holds numbers that are none."""
    with pytest.raises(UserError, match=rf"train\.{name}: the training has diverged(.|\n)*a smaller train\.{name}\.lr"):
        stage(name, tmp_path, lr=1e30, clip=0.0, ema=0.0, **every)
    if Run(tmp_path).checkpoint.exists():
        saved = torch.load(Run(tmp_path).checkpoint, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in saved.values())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_the_step_and_saves(stage, tmp_path, number):
    before = signal.getsignal(number)
    whole, _ = stage("generator", tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        stage("generator", tmp_path / "stopped", [After(5, lambda: os.kill(os.getpid(), number))])
    assert signal.getsignal(number) is before
    assert torch.load(Run(tmp_path / "stopped").checkpoint, weights_only=True)["global_step"] == 6
    resumed, _ = stage("generator", tmp_path / "stopped")
    assert differing(whole.state_dict(), resumed.state_dict()) == []
    assert curves(tmp_path / "stopped") == curves(tmp_path / "whole")


def test_a_signal_while_a_checkpoint_is_written(stage, tmp_path, monkeypatch):
    """It is not forgotten: training ends after the next step."""
    save = pl.Trainer.save_checkpoint

    def disturbed(trainer, path, *arguments, **options):
        save(trainer, path, *arguments, **options)
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", disturbed)
    with pytest.raises(KeyboardInterrupt):
        stage("generator", tmp_path)
    assert torch.load(Run(tmp_path).checkpoint, weights_only=True)["global_step"] == 5


def test_a_second_signal_stops_at_once(stage, tmp_path):
    """The step is not finished, the last checkpoint stands, and Ctrl-C works again afterwards."""

    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stage("generator", tmp_path, [After(6, twice)])
    assert signal.getsignal(signal.SIGINT) is before
    assert torch.load(Run(tmp_path).checkpoint, weights_only=True)["global_step"] == 4


def test_looking_does_not_disturb_training(stage, tmp_path):
    whole, _ = stage("tokenizer", tmp_path / "whole", check_every=100)
    watched, _ = stage("tokenizer", tmp_path / "watched", check_every=1)
    assert differing(whole.state_dict(), watched.state_dict()) == []
