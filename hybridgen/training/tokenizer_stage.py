"""Stage 1: the tokenizer that an experiment asks for, trained once however many experiments ask for it."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from hybridgen.assemble import assemble_model, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.config.identity import tokenizer_folder, tokenizer_key
from hybridgen.data.base import Data, MemorySplit, Split
from hybridgen.media.base import Medium
from hybridgen.nn.draws import keyed
from hybridgen.runs.run import TOKENIZERS, Run
from hybridgen.runs.weights import describe, read_weights, save
from hybridgen.system import distributed
from hybridgen.system.files import lock
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.adversarial_module import APART, TokenizerAdversarialModule
from hybridgen.training.held_out import tokenizer_figures
from hybridgen.training.machine import Machine
from hybridgen.training.settings import Training
from hybridgen.training.stage import Stage, fit
from hybridgen.training.tokenizer_module import TokenizerModule
from hybridgen.types import DataSpec

MEASURED_ON = 2000  # samples
LOOKED_AT = 500  # held-out samples


def obtain_tokenizer(
    composed: Composed, data: Data, machine: Machine, root: Path, say: Callable[[str], None], begun: Path | None = None
) -> tuple[Tokenizer, Run]:
    """The trained tokenizer and the folder it lies in, runs/tokenizers/<hash>/.

    Whoever comes first trains it under a lock; others wait, and if the first one dies, the next goes on from its
    checkpoint. The processes of one run train it together; the first of them holds the lock for all. A run that is
    resumed names the folder that it has `begun` with.
    """
    key = tokenizer_key(composed.config, data.fingerprint(), machine.precision)
    torch.manual_seed(keyed(composed.config["seed"], "tokenizer weights").initial_seed())
    tokenizer = assemble_model(composed, data.spec).tokenizer
    folder = begun or tokenizer_folder(key, root / TOKENIZERS)
    with lock(folder / ".lock", waiting=say) if distributed.is_first() else nullcontext():
        missing = distributed.broadcast(lambda: not Run.at(folder, key, {}).model.exists())
        run = Run(folder, writes=distributed.is_first())
        if missing:
            _train(tokenizer, run, composed, data, machine)
            run.finish()
    read_weights(run.model, tokenizer)
    return tokenizer.to(machine.device).eval().requires_grad_(False), run


def _train(tokenizer: Tokenizer, run: Run, composed: Composed, data: Data, machine: Machine) -> None:
    node, seed = composed.config["train"]["tokenizer"], composed.config["seed"]
    train, medium = data.split("train"), data.medium
    run.resume()
    if node is not None and list(tokenizer.parameters()):
        settings = assemble_settings(composed, "train.tokenizer")
        held_out = medium.restore(first(data.split("valid"), LOOKED_AT))
        title = f"stage 1  tokenizer {composed.config['model']['tokenizer']['card']}"
        module = make_module(tokenizer, medium, settings, seed, data.spec)
        readers = machine.compute.readers(isinstance(train, MemorySplit))
        look = _look(tokenizer, held_out)
        stage = Stage("tokenizer", title, run, settings, machine, seed, look, workers=readers, apart=APART)
        fit(stage, module, train)
    tokenizer.cpu().eval()
    tokenizer.measure(medium.restore(first(train, MEASURED_ON)))
    if distributed.is_first():
        save(run.model, tokenizer, describe("tokenizer", composed.config, data.spec))
    distributed.barrier()


def make_module(tokenizer: Tokenizer, medium: Medium, settings: Training, seed: int, data: DataSpec) -> TokenizerModule:
    """The module that trains a tokenizer: against its adversary, if it has one."""
    if tokenizer.adversary is None:
        return TokenizerModule(tokenizer, medium, settings, seed)
    return TokenizerAdversarialModule(tokenizer, tokenizer.adversary, medium, settings, seed, data)


def first(split: Split, count: int) -> Tensor:
    """The first stored samples of a split."""
    return split.stored(torch.arange(min(count, len(split))))


def _look(tokenizer: Tokenizer, x: Tensor) -> Callable[[], tuple[dict[str, float], str]]:
    def check() -> tuple[dict[str, float], str]:
        figures = tokenizer_figures(tokenizer, x.to(next(tokenizer.parameters()).device))
        if "held_out/psnr_codes" not in figures:
            return figures, f"PSNR {figures['held_out/psnr_latent']:.1f} dB"
        codes, full, share = (figures[f"held_out/{k}"] for k in ("psnr_codes", "psnr_latent", "residual_share"))
        word = f"PSNR codes {codes:.1f} dB, with residual {full:.1f} dB"
        return figures, f"{word}, residual carries {100 * share:.0f} % of the variance"

    return check
