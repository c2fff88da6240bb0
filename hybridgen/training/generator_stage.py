"""Stage 2: the generator learns to draw the tokens of a frozen tokenizer."""

from collections.abc import Callable
from pathlib import Path

import torch

from hybridgen.assemble import assemble_model, assemble_settings
from hybridgen.checkpoint import describe, read_about, read_weights, save
from hybridgen.config import Composed
from hybridgen.data.base import Data
from hybridgen.errors import UserError, unknown
from hybridgen.model import HybridModel
from hybridgen.nn.draws import keyed
from hybridgen.runs import Run
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.cache import encode_all
from hybridgen.training.generator_module import GeneratorModule, cached_tokens
from hybridgen.training.held_out import generator_losses
from hybridgen.training.machine import Machine
from hybridgen.training.stage import Stage, fit

FITTED_ON = 2000  # pictures whose residual targets measure a head's normaliser
PARTS = ("conditioner", "backbone", "code_head", "residual_head", "join")


def train_generator(
    composed: Composed, tokenizer: Tokenizer, data: Data, machine: Machine, run: Run,
    draw: Callable[[HybridModel, int], None] | None,
) -> HybridModel:  # fmt: skip
    """The trained model with averaged weights; they also lie in the run's model.safetensors.

    Args:
        draw: draws a sample grid of the model as it stands at a step.
    """
    config, settings = composed.config, assemble_settings(composed, "train.generator")
    model = untrained(composed, tokenizer, data)
    if run.model.exists():
        read_weights(run.model, model)
        return model.to(machine.device).eval()
    train = encode_all(tokenizer, data.load("train"), settings.flip, machine.device)
    held_out = encode_all(tokenizer, data.load("valid"), False, machine.device)
    if model.residual_head is not None and config["init"] is None:
        first = cached_tokens({name: column[:FITTED_ON] for name, column in train.columns.items()})
        model.residual_head.fit(model.cpu().residual_targets(first))
    module = GeneratorModule(model, settings, config["seed"])

    def check() -> tuple[dict[str, float], str]:
        figures = generator_losses(model, held_out, module.device)
        return figures, _word(figures)

    title = f"stage 2  {composed.name}"
    sketch = None if draw is None else lambda step: draw(model, step)
    fit(Stage("generator", title, run, settings, machine, config["seed"], check, sketch), module, train)
    model.cpu().eval()
    save(run.model, model, describe("generator", config, data.spec, weights="ema", steps=settings.steps))
    return model.to(machine.device)


def untrained(composed: Composed, tokenizer: Tokenizer, data: Data) -> HybridModel:
    """The model as it is before its first step: weights from the seed or from `init`, frozen parts frozen."""
    config = composed.config
    torch.manual_seed(keyed(config["seed"], "generator weights").initial_seed())
    model = assemble_model(composed, data.spec)
    model.tokenizer = tokenizer.cpu()
    if config["init"] is not None:
        _begin_from(Path(config["init"]), model)
    for name in config["freeze"]:
        part = name.removeprefix("model.")
        if part not in PARTS:
            raise UserError(unknown("part", name, [f"model.{p}" for p in PARTS], "freeze"))
        if getattr(model, part) is not None:
            getattr(model, part).requires_grad_(False)
    return model


def _begin_from(path: Path, model: HybridModel) -> None:
    """Weights of an earlier run, all but the tokenizer's; parts that are new or of another shape stay as they are."""
    file = path / "model.safetensors" if path.is_dir() else path
    read_about(file)
    kept = {name: value.clone() for name, value in model.tokenizer.state_dict().items()}
    absent = read_weights(file, model, missing="skip")
    model.tokenizer.load_state_dict(kept)
    if len(absent) == len(model.state_dict()):
        raise UserError(f"init: {file} has no weights that fit this model")


def _word(figures: dict[str, float]) -> str:
    parts = []
    if "held_out/code" in figures:
        parts.append(f"held-out CE {figures['held_out/code']:.2f}")
    if "held_out/residual" in figures:
        parts.append(f"head loss {figures['held_out/residual']:.2f}")
    return ", ".join(parts)
