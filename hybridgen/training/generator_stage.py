"""Stage 2: the generator learns to draw the tokens of a frozen tokenizer."""

from collections.abc import Callable, Sequence
from functools import partial

import pytorch_lightning as pl
import torch

from hybridgen.assemble import assemble_model, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.data.base import Data
from hybridgen.model import HybridModel
from hybridgen.nn.draws import keyed
from hybridgen.runs.run import Run
from hybridgen.runs.weights import describe, read_weights, save
from hybridgen.system import distributed
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.batches import Rows
from hybridgen.training.encoding import Encoding
from hybridgen.training.generator_module import GeneratorModule
from hybridgen.training.held_out import generator_losses
from hybridgen.training.machine import Machine
from hybridgen.training.sharding import split
from hybridgen.training.stage import Stage, fit
from hybridgen.training.start import begin_from, find_init, freeze
from hybridgen.training.texts import asked_of, read_texts
from hybridgen.training.tokens import MemoryTokens, tokens_of

FITTED_ON = 2000  # samples whose residual targets measure a head's normaliser


def train_generator(
    composed: Composed, tokenizer: Tokenizer, data: Data, machine: Machine, run: Run,
    draw: Callable[[HybridModel, int], None] | None, extra: Sequence[pl.Callback] = (),
    say: Callable[[str], None] = lambda _: None,
) -> HybridModel:  # fmt: skip
    """The trained model with averaged weights; they also lie in the run's model.safetensors.

    Args:
        draw: draws a sample grid of the model as it stands at a step.
        extra: more callbacks, called after a step's own work is done.
        say: is told of long waits.
    """
    config, settings = composed.config, assemble_settings(composed, "train.generator")
    model = untrained(composed, tokenizer, data)
    if run.model.exists():
        read_weights(run.model, model)
        return model.to(machine.device).eval()
    made = Encoding(tokenizer, data, machine, run.root, config["tokens"])
    train = made.rows("train", data.medium.mirrors if settings.flip else (), say)
    held_out = made.rows("valid", (), say)
    if not run.checkpoint.exists():  # which holds all that is set here
        _begin(model, config["init"], run, train)
    module = GeneratorModule(model, settings, config["seed"])
    texts = read_texts(model.conditioner, data, machine.device, run.root, say)

    def check() -> tuple[dict[str, float], str]:
        figures = generator_losses(model, held_out, module.device, texts=texts)
        return figures, _word(figures)

    title = f"stage 2  {composed.name}"
    sketch = None if draw is None else lambda step: draw(model, step)
    parted = machine.compute.world > 1 and machine.compute.strategy == "fsdp"
    into_parts = partial(split, device=machine.device) if parted else None
    readers = machine.compute.readers(isinstance(train, MemoryTokens))
    stage = Stage("generator", title, run, settings, machine, config["seed"], check, sketch, readers, texts, into_parts)
    fit(stage, module, train, extra)
    model.cpu().eval()
    if distributed.is_first():
        asked = {"prompts": asked_of(data)} if "text" in model.conditioner.reads else {}
        save(run.model, model, describe("generator", config, data.spec, weights="ema", steps=settings.steps, **asked))
    distributed.barrier()
    return model.to(machine.device)


def untrained(composed: Composed, tokenizer: Tokenizer, data: Data) -> HybridModel:
    """The model with weights from the seed, frozen parts frozen."""
    config = composed.config
    torch.manual_seed(keyed(config["seed"], "generator weights").initial_seed())
    model = assemble_model(composed, data.spec)
    model.tokenizer = tokenizer.cpu()
    freeze(config["freeze"], model)
    return model


def _begin(model: HybridModel, init: str | None, run: Run, train: Rows) -> None:
    """Weights of an earlier run, if one is named; a new residual head measures what it will be asked for."""
    fresh = begin_from(find_init(init, run.root), model) if init else ["residual_head."]
    if model.residual_head is not None and any(name.startswith("residual_head.") for name in fresh):
        first = dict(train.take(torch.arange(min(FITTED_ON, len(train)))))
        model.residual_head.fit(model.residual_targets(tokens_of(first, model.cpu().tokenizer)))


def _word(figures: dict[str, float]) -> str:
    parts = []
    if "held_out/code" in figures:
        parts.append(f"held-out CE {figures['held_out/code']:.2f}")
    if "held_out/residual" in figures:
        parts.append(f"head loss {figures['held_out/residual']:.2f}")
    return ", ".join(parts)
