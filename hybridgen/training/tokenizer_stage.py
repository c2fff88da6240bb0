"""Stage 1: the tokenizer that an experiment asks for, trained once however many experiments ask for it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from hybridgen.assemble import assemble_model, assemble_settings
from hybridgen.config.compose import Composed
from hybridgen.config.migrate import first_words
from hybridgen.data.base import Data
from hybridgen.media.image import to_unit
from hybridgen.nn.draws import keyed
from hybridgen.runs.run import TOKENIZERS, Run
from hybridgen.runs.weights import describe, read_weights, save
from hybridgen.system import distributed
from hybridgen.system.files import lock
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.training.batches import Source
from hybridgen.training.held_out import tokenizer_figures
from hybridgen.training.machine import Machine
from hybridgen.training.stage import Stage, fit
from hybridgen.training.tokenizer_module import TokenizerModule

FORMAT = 1  # raise it when the same config begins to train another tokenizer
MEASURED_ON = 2000  # pictures


def tokenizer_key(composed: Composed, data: Data, machine: Machine) -> dict[str, Any]:
    """Everything that decides which tokenizer comes out; where the data lies does not."""
    config = composed.config
    about = {name: value for name, value in config["data"].items() if name != "root"}
    return {
        "format": FORMAT,
        "data": about | {"fingerprint": data.fingerprint()},
        "tokenizer": first_words(config)["model"]["tokenizer"],
        "training": config["train"]["tokenizer"],
        "seed": config["seed"],
        "precision": machine.precision,
    }


def folder_name(key: Mapping[str, Any]) -> str:
    """The name of what such a key makes."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def obtain_tokenizer(
    composed: Composed, data: Data, machine: Machine, root: Path, say: Callable[[str], None]
) -> tuple[Tokenizer, Run]:
    """The trained tokenizer and the folder it lies in, runs/tokenizers/<hash>/.

    Whoever comes first trains it under a lock; others wait, and if the first one dies, the next goes on from its
    checkpoint. The processes of one run train it together; the first of them holds the lock for all.
    """
    key = tokenizer_key(composed, data, machine)
    torch.manual_seed(keyed(composed.config["seed"], "tokenizer weights").initial_seed())
    tokenizer = assemble_model(composed, data.spec).tokenizer
    folder = root / TOKENIZERS / folder_name(key)
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
    pictures = data.load("train").x
    run.resume()
    if node is not None and list(tokenizer.parameters()):
        settings = assemble_settings(composed, "train.tokenizer")
        held_out = to_unit(data.load("valid").x[:500])
        title = f"stage 1  tokenizer {composed.config['model']['tokenizer']['card']}"
        module = TokenizerModule(tokenizer, settings, seed)
        stage = Stage("tokenizer", title, run, settings, machine, seed, _look(tokenizer, held_out))
        fit(stage, module, Source({"x": pictures}))
    tokenizer.cpu().eval()
    tokenizer.measure(to_unit(pictures[:MEASURED_ON]))
    if distributed.is_first():
        save(run.model, tokenizer, describe("tokenizer", composed.config, data.spec))
    distributed.barrier()


def _look(tokenizer: Tokenizer, x: torch.Tensor) -> Callable[[], tuple[dict[str, float], str]]:
    def check() -> tuple[dict[str, float], str]:
        figures = tokenizer_figures(tokenizer, x.to(next(tokenizer.parameters()).device))
        if "held_out/psnr_codes" not in figures:
            return figures, f"PSNR {figures['held_out/psnr_latent']:.1f} dB"
        codes, full, share = (figures[f"held_out/{k}"] for k in ("psnr_codes", "psnr_latent", "residual_share"))
        word = f"PSNR codes {codes:.1f} dB, with residual {full:.1f} dB"
        return figures, f"{word}, residual carries {100 * share:.0f} % of the variance"

    return check
