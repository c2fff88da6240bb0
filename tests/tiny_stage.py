"""One stage of training at a tiny size, for tests: alone, or as one of several processes."""

from functools import partial

import torch
from tiny_run import tiny

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.data.base import MemorySplit
from hybridgen.media.image import ImageMedium
from hybridgen.runs.run import Run
from hybridgen.system.distributed import is_first
from hybridgen.training.adversarial_module import APART
from hybridgen.training.compute import Compute
from hybridgen.training.generator_module import GeneratorModule
from hybridgen.training.held_out import generator_losses, tokenizer_figures
from hybridgen.training.machine import choose
from hybridgen.training.settings import Training
from hybridgen.training.sharding import split
from hybridgen.training.stage import Stage, fit
from hybridgen.training.tokenizer_stage import make_module
from hybridgen.training.tokens import MemoryTokens, Views

COMPOSED, MEDIUM = tiny(), ImageMedium(channels=1, size=28)
PICTURES = 40  # with batches of 8 an order ends every fifth batch
STEPS = 12
ADVERSARY = ("model.tokenizer.adversary={card: patch, width: 8, norm: group, start: 0.4}",)  # from step 5 on


class KilledError(Exception):
    """Stands for whatever ends a process."""


def few_examples():
    """The first pictures of the training data."""
    whole = assemble_data(COMPOSED).split("train")
    return MemorySplit(whole.x[:PICTURES], label=whole.labels[:PICTURES])


def train(name, folder, extra=(), *, examples, precision="fp32", parts=(), compute=None, **settings):
    """Trains a stage anew, or on in a folder that exists; gives its module and its averages.

    "adversary" is the stage of the tokenizer, with a discriminator.
    """
    parts = (*parts, *ADVERSARY) if name == "adversary" else parts
    chosen = Training(**{"steps": STEPS, "batch": 8, "save_every": 4, "log_every": 1, "check_every": 3} | settings)
    torch.manual_seed(0)
    model = assemble_model(tiny(*parts), assemble_data(COMPOSED).spec)
    if name != "generator":
        spec = assemble_data(COMPOSED).spec
        module, source = make_module(model.tokenizer, MEDIUM, chosen, 0, spec), MemorySplit(examples.x)
        figures = partial(tokenizer_figures, model.tokenizer, MEDIUM.restore(examples.x[:8]))
    else:
        model.tokenizer.eval().requires_grad_(False)
        source = MemoryTokens(model.tokenizer, Views(examples, MEDIUM, MEDIUM.mirrors), torch.device("cpu"))
        module = GeneratorModule(model, chosen, 0)
        figures = partial(generator_losses, model, source, torch.device("cpu"))
    machine = choose("cpu", precision, compute or Compute())
    parted = partial(split, device=machine.device) if machine.compute.strategy == "fsdp" else None
    run = Run.at(folder, {}, {}) if is_first() else Run(folder, writes=False)
    plan = Stage(name, name, run, chosen, machine, 0, lambda: (figures(), ""), split=parted, apart=APART)
    return module, fit(plan, module, source, extra)
