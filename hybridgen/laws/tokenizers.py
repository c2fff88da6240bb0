"""What every tokenizer promises: `for law in TOKENIZER_LAWS: law(tokenizer, x)`, with x (B, X, *size) in [-1, 1].

`started` has the tokenizer look at x first, as training would: codebooks begin with what they see. No law changes the
tokenizer it is given.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.laws.measure import assert_near, assert_same, gradients_of, unchanged
from hybridgen.laws.toy import shaken
from hybridgen.nn.draws import Draws, keyed
from hybridgen.nn.positions import every_position, take
from hybridgen.tokenizers.base import Tokenizer
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Canvas, DataSpec, Step, Tokens

_ROUNDING = 2.0**-22  # of the largest entry: one rounding each way
_PROGRESS = (0.0, 0.3, 0.6, 0.95)  # of training: phases begin and end


def started(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"], deviation: float = 0.05) -> Tokenizer:
    """A copy, away from its start, whose codebook and constants know x."""
    tokenizer = shaken(tokenizer, deviation)
    with torch.no_grad():
        for progress in _PROGRESS:
            tokenizer.schedule(progress)
            tokenizer.loss(x, Draws("law", progress))
    tokenizer.measure(x)
    return tokenizer.requires_grad_(False)


def shapes_go_round(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """decode(encode(x)) has x's shape and type, for a batch of 1 too; latent and codes are what `spec` says."""
    tokenizer, spec = started(tokenizer, x), tokenizer.spec
    for part in (x[:1], x):
        tokens = tokenizer.encode(part)
        back = tokenizer.decode(tokens.latent)
        assert (back.shape, back.dtype) == (part.shape, part.dtype)
        assert tokens.latent.shape == (len(part), spec.channels, *spec.grid)
        assert spec.scales[-1] == spec.grid
        assert len(tokens.codes) == (len(spec.scales) if spec.vocab else 0)
        for codes, grid in zip(tokens.codes, spec.scales, strict=False):
            assert (codes.shape, codes.dtype) == ((len(part), prod(grid)), torch.int64)
            assert 0 <= codes.min() <= codes.max() < spec.vocab
    alone = tokenizer.encode(x[:1]).latent
    assert_same(alone, tokenizer.encode(x).latent[:1], 1e-5)


def latents_are_standardised(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """Measured on x, every channel of its latent has mean 0 and deviation 1; or, with fixed units, nothing changes."""
    tokenizer = started(tokenizer, x)
    latent = tokenizer.encode(x).latent.transpose(0, 1).flatten(1)
    if tokenizer.fixed_units:
        tokenizer.measure(3 * x + 1)
        assert torch.equal(tokenizer.encode(x).latent.transpose(0, 1).flatten(1), latent)
        return
    assert_same(latent.mean(1), torch.zeros(len(latent)), 1e-4)
    assert_same(latent.std(1), torch.ones(len(latent)), 1e-3)


def painting_the_truth_gives_the_latent_back(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """To one rounding each way, where the finest scale carries a residual; alone, or as every scale does.

    A tokenizer that cannot says so (`lossless`), and no residual is trained on it.
    """
    tokenizer = started(tokenizer, x)
    tokens, scales = tokenizer.encode(x), _scales(tokenizer)
    for visited, carrying in ((scales, scales[-1:]), (scales, scales), (scales[-1:], scales[-1:])):
        truth = replay(tokenizer, tokens, visited, carrying)
        size = max(tokens.latent.abs().max().item(), truth.canvas.before.abs().max().item())
        off = (truth.canvas.latent - tokens.latent).abs().max().item()
        exact = off <= 2 * _ROUNDING * size
        assert exact == tokenizer.supports_residual, f"off by {off:.2g} of {size:.2g}, carried at {carrying}"
        assert all(truth.canvas.known[s].all() for s in visited)


def codes_alone_paint_their_sum(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """The code-only path reads codes and nothing else; up to scale s, it does not know finer ones."""
    tokenizer = started(tokenizer, x)
    tokens, scales = tokenizer.encode(x), _scales(tokenizer)
    if not tokens.codes:
        return
    whole = replay(tokenizer, tokens, scales, ())
    blind = replay(tokenizer, replace(tokens, latent=torch.zeros_like(tokens.latent)), scales, ())
    assert torch.equal(blind.canvas.latent, whole.canvas.latent)
    for s in scales[1:]:
        other = [c if k < s else (c + 1) % tokenizer.spec.vocab for k, c in enumerate(tokens.codes)]
        changed = replay(tokenizer, Tokens(tokens.latent, other), scales, ())
        assert torch.equal(changed.before[s].latent, whole.before[s].latent)
        assert not torch.equal(changed.canvas.latent, whole.canvas.latent)


def lookups_agree(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """A mixture that is all one code looks up that code's vector, and mixtures mix."""
    tokenizer = started(tokenizer, x)
    for s, codes in enumerate(tokenizer.encode(x).codes):
        vectors = tokenizer.lookup(codes, s)
        assert vectors.shape == (*codes.shape, tokenizer.spec.channels)
        sure = torch.nn.functional.one_hot(codes, tokenizer.spec.vocab).float()
        torch.testing.assert_close(tokenizer.lookup(sure, s), vectors)
        half = 0.5 * sure + 0.5 * sure.flip(1)
        torch.testing.assert_close(tokenizer.lookup(half, s), 0.5 * vectors + 0.5 * vectors.flip(1))


def sets_paint_what_scales_do(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """A scale painted in random sets is the scale painted at once; meanwhile its view and what it owes stay."""
    tokenizer = started(tokenizer, x)
    tokens, scales = tokenizer.encode(x), _scales(tokenizer)
    truth = replay(tokenizer, tokens, scales, scales[-1:])
    canvas = tokenizer.blank(len(x))
    for s in scales:
        vectors, codes = truth.canvas.vectors[s], truth.canvas.codes[s] if tokens.codes else None
        shuffled = torch.rand(vectors.shape[:2], generator=keyed("sets", s)).argsort(1)
        for part in shuffled.tensor_split(3, 1):
            assert torch.equal(tokenizer.view(canvas, s), truth.views[s]), "the view is a snapshot"
            assert torch.equal(tokenizer.owed(tokens, canvas, s), truth.owed[s]), "what is owed is a snapshot"
            if part.shape[1]:
                step = Step(s, part, (part.shape[1],))
                some = None if codes is None else take(codes, part)
                canvas = tokenizer.paint(canvas, step, some, take(vectors, part))
                assert canvas.known[s].gather(1, part).all()
    assert_same(canvas.latent, truth.canvas.latent, 1e-6)
    assert all(torch.equal(a, b) for a, b in zip(canvas.codes, truth.canvas.codes, strict=True))


def blank_canvas_is_blank(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """Nothing is known, and every view of the first scale is the same whatever the data."""
    tokenizer, spec = started(tokenizer, x), tokenizer.spec
    canvas = tokenizer.blank(2)
    assert canvas.latent.shape == (2, spec.channels, *spec.grid)
    assert not any(known.any() for known in canvas.known)
    view = tokenizer.view(canvas, 0)
    assert view.shape == (2, prod(spec.scales[0]), spec.channels)
    assert torch.equal(view[0], view[1])


def tokenizer_gradients_reach_all(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """Over the phases of training every parameter gets a gradient within three steps, and those frozen in a phase none.

    The loss is finite also for flat data.
    """
    tokenizer, reached = copy.deepcopy(tokenizer).train(), set()
    if not any(True for _ in tokenizer.parameters()):
        return

    def loss(step: int) -> Tensor:
        return tokenizer.loss(x, Draws("law", step))["loss"]

    for progress in _PROGRESS:
        tokenizer.schedule(progress)
        reached |= gradients_of(tokenizer, loss, 3)
    missed = {name for name, _ in tokenizer.named_parameters()} - reached
    assert not missed, f"no gradient in any phase: {', '.join(sorted(missed))}"
    assert tokenizer.loss(torch.zeros_like(x), Draws("law"))["loss"].isfinite()


def adversaries_reach_the_decoder(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """`reconstruct` is `loss`, to the bit, and a discriminator's logits have a finite gradient at the decoder's end.

    The discriminator, which the adversary makes, is no part of the tokenizer.
    """
    tokenizer, adversary = shaken(tokenizer, 0.05).train(), tokenizer.adversary
    if adversary is None:
        return
    with torch.random.fork_rng(devices=[]):
        discriminator = adversary.discriminator(DataSpec(x.shape[1], tuple(x.shape[2:])))
    names = set(tokenizer.state_dict())
    for progress in _PROGRESS:
        twin = copy.deepcopy(tokenizer)  # a pass moves codebooks
        for each in (tokenizer, twin):
            each.schedule(progress)
        made, losses = tokenizer.reconstruct(x, Draws("law", progress)), twin.loss(x, Draws("law", progress))
        assert made.losses.keys() == losses.keys()
        assert all(torch.equal(made.losses[name], loss) for name, loss in losses.items())
        assert (made.data.shape, made.data.dtype) == (x.shape, x.dtype)
        logits = discriminator(made.data)
        assert logits.shape[:2] == (len(x), 1)
        for loss in (made.losses["loss"], logits.mean()):
            (gradient,) = torch.autograd.grad(loss, made.last, retain_graph=True)
            assert gradient.isfinite().all()
            assert gradient.any()
    assert set(tokenizer.state_dict()) == names


def tokenizer_low_precision_is_near(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """Under bf16 autocast latents stay float32; latents and samples are within 2 % of full precision (relative L2)."""
    tokenizer = started(tokenizer, x, 0.4)  # far from the start, where latents hardly vary: scaling would scale errors
    latent = tokenizer.encode(x).latent
    back = tokenizer.decode(latent)
    with torch.autocast("cpu", torch.bfloat16):
        low, low_back = tokenizer.encode(x).latent, tokenizer.decode(latent)
    assert low.dtype == torch.float32
    assert_near(low, latent, 0.02)
    assert_near(low_back.float(), back, 0.02)


def tokenizer_leaves_all_else_alone(tokenizer: Tokenizer, x: Float[Tensor, "B X *size"]) -> None:
    """No global generator is moved, nor data, tokens or canvas changed; encoding again gives the same bits."""
    tokenizer = started(tokenizer, x)
    tokens = tokenizer.encode(x)
    canvas = replay(tokenizer, tokens, _scales(tokenizer), ()).canvas
    with unchanged(x, tokens, canvas):
        assert torch.equal(tokenizer.encode(x).latent, tokens.latent)
        tokenizer.decode(tokens.latent)
        tokenizer.loss(x, Draws("law"))
        for s in _scales(tokenizer):
            tokenizer.view(canvas, s)
            tokenizer.owed(tokens, canvas, s)
            _paint_over(tokenizer, canvas, s)


TOKENIZER_LAWS: tuple[Callable[[Tokenizer, Tensor], None], ...] = (
    shapes_go_round, latents_are_standardised, painting_the_truth_gives_the_latent_back, codes_alone_paint_their_sum,
    lookups_agree, sets_paint_what_scales_do, blank_canvas_is_blank, tokenizer_gradients_reach_all,
    adversaries_reach_the_decoder, tokenizer_low_precision_is_near, tokenizer_leaves_all_else_alone,
)  # fmt: skip


def _scales(tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(range(len(tokenizer.spec.scales)))


def _paint_over(tokenizer: Tokenizer, canvas: Canvas, s: int) -> None:
    """Paints ones, on a canvas that goes on as scale s begins."""
    grid = tokenizer.spec.scales[s]
    every = every_position(canvas.latent.shape[0], grid)
    tokenizer.paint(canvas, Step(s, every, grid), None, torch.ones(*every.shape, tokenizer.spec.channels))
