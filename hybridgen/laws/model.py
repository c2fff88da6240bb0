"""What every whole model promises, whatever its parts: `for law in MODEL_LAWS: law(model, sampler, x)`.

x (B, X, *size) is data; classes are told by labels in turn. The sampler should be one that the model is meant for:
sets, guidance and head steps above none give the laws something to see. No law changes the model it is given.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from hybridgen.laws.measure import assert_near, assert_same, gradients_of, unchanged
from hybridgen.laws.toy import CLASSES, shaken
from hybridgen.model import Given, HybridModel, StepRecord
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import every_position, take, to_sequence
from hybridgen.nn.resize import shrink
from hybridgen.samplers.sampler import Sampler
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Canvas, Condition, Step, StepLayout

_AGREE = 1e-4  # one pass and many, float32
_MANY = 64  # samples of a batch against which smaller ones are held
_FLIPS = 1e-3  # share of codes that may tip over where two are as likely to rounding


def the_truth_is_replayed(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Painting the truth ends in the latent where the last scale carries a residual, else in what codes alone paint."""
    tokens, scales = model.tokenizer.encode(x), model.order.scales
    finished = replay(model.tokenizer, tokens, scales, model.residual_scales).canvas.latent
    if scales[-1] in model.residual_scales:
        torch.testing.assert_close(finished, tokens.latent, rtol=2**-20, atol=2**-20)
    else:
        blind = replace(tokens, latent=torch.zeros_like(tokens.latent))
        assert torch.equal(finished, replay(model.tokenizer, blind, scales, ()).canvas.latent)


def generation_is_teacher_forcing(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """One pass over what was drawn gives the hidden vectors from which it was drawn: guided rows, sets and all."""
    model, sampler = shaken(model), replace(sampler, by="random")
    told = _told(model, range(len(x)))
    steps = _record(model, sampler, range(len(x)), told)
    if steps[0].hidden.shape[0] > len(x):
        told = told.guided()
    canvas, views = _repainted(model, steps[-1].canvas)
    drawn = torch.cat([planned.hidden for planned in steps], 1)
    with torch.no_grad():
        if model.backbone.revisits:
            passes = [model.backbone(t.before, views, _due([t.step]), told) for t in steps]
            forced = torch.cat(passes, 1)
        else:
            forced = model.backbone(canvas, views, _due([t.step for t in steps]), told)
    assert_same(forced, drawn, _AGREE)


def the_canvas_holds_what_was_drawn(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Repainting the finished canvas' vectors scale by scale gives its latent; every position was drawn; all finite."""
    model = shaken(model)
    canvas = _record(model, sampler, range(len(x)))[-1].canvas
    repainted, _ = _repainted(model, canvas)
    assert all(canvas.known[s].all() for s in model.order.scales)
    assert_same(repainted.latent, canvas.latent, 1e-5)
    samples = model.tokenizer.decode(canvas.latent)
    assert samples.shape == x.shape
    assert samples.isfinite().all()


def samples_depend_on_their_seed_alone(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Sample i is the same alone, among seven, among 64 and in another place of the batch; other seeds differ.

    Where two codes are as likely to rounding one may tip over, in at most one token of a thousand.
    """
    model, shuffled = shaken(model), torch.arange(_MANY).mul(5).add(3).remainder(_MANY).tolist()
    whole = _record(model, sampler, range(_MANY))[-1].canvas
    assert not torch.equal(whole.latent[0], whole.latent[CLASSES]), "two seeds give one sample"
    for batch in ([0], [_MANY - 1], list(range(7)), shuffled):
        part = _record(model, sampler, batch)[-1].canvas
        flipped = torch.stack([(p != w[batch]).sum(1) for p, w in zip(part.codes, whole.codes, strict=True)]).sum(0)
        count = sum(codes[0].numel() for codes in whole.codes)
        assert flipped.sum() <= max(1, _FLIPS * count * len(batch)), (
            f"{flipped.sum()} codes differ in a batch of {len(batch)}"
        )
        same = flipped == 0
        assert_same(part.latent[same], whole.latent[batch][same], _AGREE)


def head_steps_change_no_code(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Codes that are drawn before the first residual are the same however many steps the residual takes, or if none."""
    if model.code_head is None or not model.residual_scales:
        return
    model, first = shaken(model), model.residual_scales[0]
    results = []
    for head_steps in (0, 2, 3):
        steps = _record(model, replace(sampler, head_steps=head_steps), range(len(x)))
        results.append((steps[-1].canvas.latent, [t for t in steps if t.step.scale <= first]))
    first_residual = next(j for j, t in enumerate(results[0][1]) if t.step.scale == first)
    for latent, steps in results[1:]:
        before, after = (_codes(drawn[first_residual]) for drawn in (results[0][1], steps))
        assert torch.equal(after, before)
        assert all(
            torch.equal(_codes(a), _codes(b)) for a, b in zip(steps[:first_residual], results[0][1], strict=False)
        )
        assert not torch.equal(latent, results[0][0]), "the residual's steps change nothing"


def guidance_one_is_none(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Guidance 1 at every step equals no guidance to the bit, needs no null and costs no second row; 2 does."""
    model, seeds = shaken(model), range(len(x))
    told = _told(model, seeds)
    plain = replace(sampler, guidance=1.0, head_guidance=None, ramp="constant")
    alone = _record(model, plain, seeds, replace(told, null=None))
    ones = replace(sampler, guidance=(1.0, 1.0), head_guidance=1.0, ramp="linear")
    for planned, other in zip(_record(model, ones, seeds, told), alone, strict=True):
        assert planned.hidden.shape[0] == len(x)
        assert torch.equal(planned.canvas.latent, other.canvas.latent)
    guided = _record(model, replace(plain, guidance=2.0), seeds, told)
    assert all(planned.hidden.shape[0] == 2 * len(x) for planned in guided)
    head_only = replace(plain, head_guidance=2.0)
    assert told.null is not None, "guidance needs a null"
    if torch.equal(told.pooled(), told.null.pooled().expand_as(told.pooled())):
        return  # nothing is asked for, so there is nothing to follow
    if model.residual_scales:
        assert not torch.equal(_record(model, head_only, seeds, told)[-1].canvas.latent, alone[-1].canvas.latent)
    if model.code_head is not None:
        assert not torch.equal(guided[-1].canvas.latent, alone[-1].canvas.latent)


def what_is_given_is_kept(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """A completion keeps the given codes and, where a residual is carried, the given latent; the rest is drawn.

    Nothing given equals no completion to the bit.
    """
    model, seeds = shaken(model), range(len(x))
    tokens, spec = model.tokenizer.encode(x), model.tokenizer.spec
    known = torch.zeros(len(x), 1, *spec.grid)
    known[..., : spec.grid[-1] // 2] = 1
    canvas = _record(model, sampler, seeds, given=Given(tokens, known))[-1].canvas
    for s in model.order.scales if model.code_head is not None else ():
        kept = to_sequence(shrink(known, spec.scales[s]))[..., 0] > 0.999
        assert torch.equal(canvas.codes[s][kept], tokens.codes[s][kept])
    if model.order.scales[-1] in model.residual_scales:
        kept = known.expand_as(tokens.latent) == 1
        assert_same(canvas.latent[kept], tokens.latent[kept], 1e-5)
    free, nothing = (_record(model, sampler, seeds, given=g) for g in (None, Given(tokens, torch.zeros_like(known))))
    assert torch.equal(nothing[-1].canvas.latent, free[-1].canvas.latent)
    assert not torch.equal(canvas.latent, free[-1].canvas.latent)


def model_gradients_reach_all(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """After three steps from the fresh model every trainable parameter has had a gradient (three zeros may stand in
    a row: the residual head's output, its modulations, the backbone's gates). The tokenizer never has, frozen or not;
    nor has a part that is frozen."""
    model, tokens = copy.deepcopy(model).train(), model.tokenizer.encode(x)
    batch = {"label": torch.arange(len(x)) % CLASSES}

    def loss(step: int) -> Tensor:
        return model.loss(tokens, batch, Draws("law", step))["loss"]

    reached = gradients_of(model, loss, 4)
    learns = {name for name, p in model.named_parameters() if p.requires_grad and not name.startswith("tokenizer.")}
    assert not learns - reached, f"no gradient after three steps: {', '.join(sorted(learns - reached))}"
    assert reached <= learns, f"the tokenizer is frozen: {', '.join(sorted(reached - learns))}"
    model.conditioner.requires_grad_(False)
    assert not {name for name in gradients_of(model, loss, 1) if name.startswith("conditioner.")}


def model_low_precision_is_near(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """Under bf16 autocast losses are within 2 % of full precision; with the true codes, as drawn ones may tip over."""
    model, tokens = shaken(model, 0.05), model.tokenizer.encode(x)
    model.residual_from = "truth"
    batch = {"label": torch.arange(len(x)) % CLASSES}
    with torch.no_grad():
        full = model.loss(tokens, batch, Draws("law"))
        with torch.autocast("cpu", torch.bfloat16):
            low = model.loss(tokens, batch, Draws("law"))
    for name, value in full.items():
        assert low[name].dtype == torch.float32, name
        assert_near(low[name], value, 0.02)


def model_leaves_all_else_alone(model: HybridModel, sampler: Sampler, x: Float[Tensor, "B X *size"]) -> None:
    """No global generator is moved, nor tokens, condition or weights changed; the same key and seeds give the same
    bits."""
    model, tokens, label = shaken(model), model.tokenizer.encode(x), torch.arange(len(x)) % CLASSES
    told = _told(model, range(len(x)))
    with unchanged(tokens, told, label, [*model.parameters()], [*model.buffers()]):
        one, two = (model.loss(tokens, {"label": label}, Draws("law"))["loss"] for _ in range(2))
        first, second = (model.sample(told, range(len(x)), sampler) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(first, second)


MODEL_LAWS: tuple[Callable[[HybridModel, Sampler, Tensor], None], ...] = (
    the_truth_is_replayed, generation_is_teacher_forcing, the_canvas_holds_what_was_drawn,
    samples_depend_on_their_seed_alone, head_steps_change_no_code, guidance_one_is_none, what_is_given_is_kept,
    model_gradients_reach_all, model_low_precision_is_near, model_leaves_all_else_alone,
)  # fmt: skip


def _told(model: HybridModel, seeds: Sequence[int]) -> Condition:
    """The sample of seed i is asked to be of class i modulo the number of classes."""
    with torch.no_grad():
        return model.conditioner({"label": torch.tensor([*seeds]) % CLASSES}, None)


def _record(
    model: HybridModel,
    sampler: Sampler,
    seeds: Sequence[int],
    told: Condition | None = None,
    given: Given | None = None,
) -> list[StepRecord]:
    """Every step of the loop."""
    steps: list[StepRecord] = []
    model.sample(_told(model, seeds) if told is None else told, seeds, sampler, given, steps)
    return steps


def _repainted(model: HybridModel, finished: Canvas) -> tuple[Canvas, dict[int, Tensor]]:
    """The same codes and vectors painted scale by scale, and the views on the way."""
    tokenizer, batch = model.tokenizer, finished.latent.shape[0]
    canvas, views = tokenizer.blank(batch), {}
    for s in model.order.scales:
        views[s] = tokenizer.view(canvas, s)
        grid = tokenizer.spec.scales[s]
        codes = None if model.code_head is None else finished.codes[s]
        canvas = tokenizer.paint(canvas, Step(s, every_position(batch, grid), grid), codes, finished.vectors[s])
    return canvas, views


def _due(steps: Sequence[Step]) -> StepLayout:
    sizes = tuple(step.positions.shape[1] for step in steps)
    positions = torch.cat([step.positions for step in steps], 1)
    return StepLayout(positions, sizes, tuple(step.scale for step in steps), tuple(step.grid for step in steps))


def _codes(planned: StepRecord) -> Tensor:
    """The codes that a step drew."""
    return take(planned.canvas.codes[planned.step.scale], planned.step.positions)
