"""One stage of training: a module, its batches, and everything that makes it safe to kill."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from hybridgen.runs.run import Run
from hybridgen.system import distributed
from hybridgen.system.errors import UserError
from hybridgen.training.batches import Batches, ReadTexts, Rows, Stream
from hybridgen.training.callbacks import Averaging, Saving, Watching, check_finite
from hybridgen.training.checkpoint import steps_in
from hybridgen.training.ema import Ema
from hybridgen.training.interrupt import watched
from hybridgen.training.machine import Machine
from hybridgen.training.progress import StageProgress
from hybridgen.training.settings import Training


@dataclass
class Stage:
    """What a stage is called, where it writes, what it looks at."""

    name: str  # tokenizer | generator
    title: str  # for people
    run: Run
    settings: Training
    machine: Machine
    seed: int
    check: Callable[[], tuple[dict[str, float], str]]
    draw: Callable[[int], None] | None = None
    workers: int = 0  # processes that read batches ahead
    texts: ReadTexts | None = None  # what becomes of captions
    split: Callable[[pl.LightningModule], pl.LightningModule] | None = None  # a copy that is split over processes
    apart: tuple[str, ...] = ()  # parts of the module whose weights are not averaged


def fit(stage: Stage, module: pl.LightningModule, source: Rows, extra: Sequence[pl.Callback] = ()) -> Ema:
    """Trains to the last step, from the run's checkpoint if there is one; the module ends with averaged weights.

    A resumed run takes the same steps as an unbroken one: batches and draws depend on the step alone.

    Args:
        stage, module, source: what is trained, and on what.
        extra: more callbacks, called last.

    Raises:
        UserError: training has diverged.
        KeyboardInterrupt: Ctrl-C, once the step is finished and a checkpoint is written; a second one: at once.
    """
    settings, ckpt = stage.settings, stage.run.checkpoint
    trained = module if stage.split is None else stage.split(module)
    ema = Ema(trained, settings.ema, None if trained is module else module, stage.apart)
    done = steps_in(ckpt) if ckpt.exists() else 0
    stage.run.rewind(stage.name, done)
    progress = StageProgress(stage.title, settings.steps, done, quiet=not distributed.is_first())
    watching = Watching(stage.run, stage.name, settings, ema, stage.check, stage.draw, progress)
    with warnings.catch_warnings(), watched() as request:
        _quiet()
        # saving comes after watching: a checkpoint of a step holds the promise that the step's line is written
        automatic = module.automatic_optimization
        trainer = _trainer(
            stage, automatic, [Averaging(ema), watching, Saving(stage.run, settings.save_every, request), *extra]
        )
        start, part = done * settings.accumulate, settings.batch // settings.accumulate
        batches = Batches(
            source, part, stage.seed, rank=distributed.rank(), world=distributed.world(), texts=stage.texts
        )
        stream = Stream(batches, start, stage.workers, stage.machine.device.type == "cuda")
        try:
            trainer.fit(trained, train_dataloaders=stream, ckpt_path=str(ckpt) if done else None, weights_only=True)
        except SystemExit:  # what Lightning makes of a second Ctrl-C
            raise KeyboardInterrupt from None
        finally:
            progress.close()
    if request.stop:
        raise KeyboardInterrupt
    ema.copy_to_shown()
    check_finite(stage.name, settings.steps, *module.parameters())
    return ema


def _trainer(stage: Stage, automatic: bool, callbacks: list[pl.Callback]) -> pl.Trainer:
    settings = stage.settings
    return pl.Trainer(
        max_steps=settings.steps,
        max_epochs=-1,
        accelerator="gpu" if stage.machine.device.type == "cuda" else "cpu",
        **_spread(stage),
        precision=stage.machine.lightning,
        accumulate_grad_batches=settings.accumulate if automatic else 1,  # else the module accumulates by itself
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        default_root_dir=str(stage.run.path),
    )


def _spread(stage: Stage) -> dict[str, Any]:
    """How Lightning shares the work out; the processes are there and connected already (launch.py)."""
    compute = stage.machine.compute
    there = distributed.world()
    if compute.world != there:  # Lightning would start the others now, too late, by this process's command
        raise UserError(
            f"compute: {compute.world} processes are asked for, and {there} is here; `hybridgen train` and"
            " `resume` start them, other commands train in one: set compute.devices=1"
        )
    if compute.world == 1:
        return {"devices": 1}
    from pytorch_lightning.plugins.environments import LightningEnvironment
    from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy

    # a part may be without a gradient for a while: a null that no row of a batch asks for, an encoder at rest
    strategy: Strategy = DDPStrategy(find_unused_parameters=True)
    if stage.split is not None:
        strategy = ModelParallelStrategy(  # its "auto" would not share the data out
            data_parallel_size=compute.world, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    return {
        "devices": compute.devices, "num_nodes": compute.nodes, "strategy": strategy,
        "plugins": [LightningEnvironment()],
    }  # fmt: skip


def _quiet() -> None:
    """Silences what the libraries say at every fit; called inside `catch_warnings`."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # more readers than cores, as was asked
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # a frozen tokenizer is
    warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
