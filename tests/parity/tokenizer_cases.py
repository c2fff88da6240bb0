"""The tokenizer of a case, by its experiment and its family's key map; what several cases compare."""

import pytest
import torch

from hybridgen.assemble import assemble_data, assemble_part
from hybridgen.config.compose import compose
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import every_position, to_grid
from hybridgen.published.families import recognise
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Step
from tests.parity.reference import Case, reference_folder

PART = "model.tokenizer"
RNG = Draws("nothing is drawn")


def tokenizer_of(case, *options):
    """Ours with the official weights: every one used or ignored, none of ours left without.

    `options` are overrides, as a mutation needs them.
    """
    composed = compose(case.experiment(), [f"{PART}.{option}" for option in options])
    tokenizer = assemble_part(composed, PART, {"data": assemble_data(composed).spec})
    family, named = recognise(case.weights)
    mapped = family.apply(named)
    assert (mapped.unknown, mapped.missing) == ([], [])
    tensors = {name.removeprefix("tokenizer."): value for name, value in mapped.tensors.items()}
    tokenizer.load_state_dict(tensors)
    return tokenizer.eval().requires_grad_(False)


def codes_of(outs, prefix):
    """The codes of all scales that a case stores."""
    count = sum(key.startswith(prefix) for key in outs)
    return [outs[f"{prefix}{s}"] for s in range(count)]


def painted(tokenizer, tokens, residual_at=()):
    """The truth as it is painted, scale by scale."""
    return replay(tokenizer, tokens, tuple(range(len(tokenizer.spec.scales))), residual_at)


def latents(truth, scales):
    """The latent after each scale."""
    return [*(truth.before[s].latent for s in range(1, scales)), truth.canvas.latent]


def teacher_input(truth):
    """What the backbone sees of every scale but the first, end to end."""
    return torch.cat([truth.views[s] for s in sorted(truth.views)[1:]], 1)


def paint_next(tokenizer, canvas, codes, s):
    """One step of sampling that draws these codes of scale s: the canvas after it, and what it leaves for the next."""
    grid = tokenizer.spec.scales[s]
    step = Step(s, every_position(len(codes), grid), grid)
    canvas = tokenizer.paint(canvas, step, codes, tokenizer.lookup(codes, s))
    if s + 1 == len(tokenizer.spec.scales):
        return canvas, canvas.latent
    return canvas, to_grid(tokenizer.view(canvas, s + 1), tokenizer.spec.scales[s + 1])


def check_it_matters(name, option, compare, refused=""):
    """Another value of an option: weights that do not fit (`refused` says how), or numbers that `compare` refuses."""
    reference_folder()  # a golden leaves out what some options change
    case = Case(name)  # its own account
    if refused:
        with pytest.raises(RuntimeError, match=refused):
            tokenizer_of(case, option)
        return
    other = tokenizer_of(case, option)
    with pytest.raises(AssertionError):
        compare(case, other)
