"""What happens around the steps of a stage: averaging, saving, watching. Lightning calls these in this order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from hybridgen.runs.run import Run
from hybridgen.system import distributed
from hybridgen.system.errors import UserError
from hybridgen.system.files import atomic_path
from hybridgen.training.ema import Ema
from hybridgen.training.interrupt import StopRequest
from hybridgen.training.progress import StageProgress
from hybridgen.training.settings import Training


class Stepwise(pl.Callback):
    """Calls `after` once an optimiser step, however many batches a step takes."""

    def __init__(self) -> None:
        self.seen = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Steps of an earlier run were seen."""
        self.seen = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Passes on the batches that ended a step."""
        if trainer.global_step != self.seen:
            self.seen = trainer.global_step
            self.after(trainer, pl_module)

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """`trainer.global_step` steps are done."""


class Averaging(Stepwise):
    """Keeps the averaged weights; they travel in the checkpoint."""

    def __init__(self, ema: Ema) -> None:
        super().__init__()
        self.ema = ema

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The averages follow the weights to their device."""
        super().on_train_start(trainer, pl_module)
        self.ema.follow_device()

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Takes note of the new weights."""
        self.ema.update()

    def state_dict(self) -> dict[str, Any]:
        """The averages."""
        return self.ema.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The averages of an earlier run."""
        self.ema.load_state_dict(state_dict)


class Saving(Stepwise):
    """Writes the checkpoint that `resume` goes on from, whole or not at all; also when somebody wants to stop.

    Args:
        run: whose checkpoint it is.
        every: steps between two.
        request: whether to stop; training then ends after the step, and the checkpoint holds it.
    """

    def __init__(self, run: Run, every: int, request: StopRequest) -> None:
        super().__init__()
        self.run, self.every, self.request = run, every, request

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has its handlers by now; ours come last."""
        super().on_train_start(trainer, pl_module)
        self.request.listen()

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Saves every so many steps."""
        stop = distributed.any_rank(self.request.stop)
        if trainer.global_step % self.every == 0 or stop:
            if distributed.is_first():
                with atomic_path(self.run.checkpoint) as temporary:
                    trainer.save_checkpoint(temporary)
            else:  # has its part in gathering what is saved; nothing is written here
                trainer.save_checkpoint(self.run.checkpoint)
        if stop:  # never set to False: a signal that came while we saved stands until the next step
            self.request.stop = trainer.should_stop = True


class Watching(Stepwise):
    """Logs losses, looks at held-out data, draws samples, moves the progress bar.

    Args:
        run: where lines are logged.
        stage: their stage.
        settings: how often.
        ema: held-out looks and samples are of the averaged weights.
        check: held-out figures, and a word about them for the progress bar.
        draw: draws a sample grid of this step; None draws none.
        progress: the bar.
    """

    def __init__(
        self, run: Run, stage: str, settings: Training, ema: Ema,
        check: Callable[[], tuple[dict[str, float], str]], draw: Callable[[int], None] | None, progress: StageProgress,
    ) -> None:  # fmt: skip
        super().__init__()
        self.run, self.stage, self.settings, self.ema = run, stage, settings, ema
        self.check, self.draw, self.progress = check, draw, progress

    def after(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Whatever is due after this step."""
        step, settings = trainer.global_step, self.settings
        due = step % settings.log_every == 0 or step == settings.steps
        if due or step % settings.save_every == 0:  # what is saved is to be gone on with
            losses = distributed.all_mean(vars(module)["losses"])
            if due:
                rate = trainer.optimizers[0].param_groups[0]["lr"]
                self.run.log(step, {f"train/{k}": v for k, v in losses.items()} | {"train/lr": rate}, self.stage)
            check_finite(self.stage, step, torch.tensor(losses["loss"]))
        note = ""
        if step % settings.check_every == 0 or step == settings.steps:
            with self._looking():
                figures, note = self.check() if distributed.is_first() else ({}, "")
            self.run.log(step, figures, self.stage)
        if self.draw is not None and settings.sample_every and step % settings.sample_every == 0:
            with self._looking():
                if distributed.is_first():
                    self.draw(step)
        self.progress.advance(step, note)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """The module that is looked at carries the averages and rests; all processes enter, the first one looks."""
        with self.ema.swapped(), _resting(self.ema.shown):
            yield


def check_finite(stage: str, step: int, *values: Tensor) -> None:
    """Refuses to go on with numbers that are none.

    Raises:
        UserError: a value is infinite or not a number.
    """
    if not all(value.isfinite().all() for value in values):
        raise UserError(
            f"train.{stage}: the training has diverged: infinite or no numbers at step {step}\n  take a smaller"
            f" train.{stage}.lr, a longer train.{stage}.warmup, or train.{stage}.clip=1"
        )


@contextmanager
def _resting(module: nn.Module) -> Iterator[None]:
    """In evaluation mode inside this block; after it each part is as it was, so that a frozen one stays at rest."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
