"""HART by text: the training pass, and every scale of every run, against the official code's stored outputs."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from reference import Case
from replaying import Forced, Stored, imported, sampler

from hybridgen.heads.categorical import filter_logits
from hybridgen.heads.denoise import guide as guided_prediction
from hybridgen.nn.pool import pooled
from hybridgen.nn.positions import every_position, take
from hybridgen.samplers.schedules import guide, settings_at
from hybridgen.tokenizers.canvas import replay
from hybridgen.types import Condition, Step, StepLayout

SCALES, LAST, SETS = 8, 7, (19, 45)
CODES = {0: 1, 1: 4, 2: 9, 3: 16, 4: 25, 5: 36, 6: 49, 7: 64}
RATIO = [*(j / LAST for j in range(LAST)), (LAST - 1) / LAST]  # the last scale keeps that of the one before
MIX = [max(0.27 * (1 - 0.95 * r), 0.005) for r in RATIO]
RUNS = {
    "gen_greedy": (4.5, ["temperature=0", "mix=0"]),
    "gen_given": (1.5, ["top_p=0.8", "mix=0"]),
    "gen_given_smooth": (
        0.7,
        [
            "top_p=0.9",
            f"mix={[max(0.27 * (1 - 0.95 * r), 0.005) for r in RATIO]}",
            f"mix_gain={[1 + r for r in RATIO]}",
        ],
    ),
    "gen_maskgit2": (3.0, ["temperature=0", "mix=0", "sets=2"]),
    "gen_discrete": (3.0, ["top_p=0.95", "mix=0", "head_steps=0"]),
}


@pytest.fixture(scope="module", params=["hart_t2i", "hart_t2i_adaln"])
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def model(case):
    return imported(case, "hart_tokenizer")


def told(case, model, key):
    """The condition, whose positions are those that the official code was given."""
    given = model.conditioner({"text": case.ins[f"{key}.context"], "text_mask": case.ins[f"{key}.context_mask"]}, None)
    assert torch.equal(given.positions[..., 0].long(), case.ins[f"{key}.context_position_ids"])
    return given


@torch.no_grad()
def test_angles(case, model):
    """Of the image's scales but the first in the frame of the finest, of a text; and what they make of a query."""
    turning = model.backbone.rotary
    one = Condition(vector=torch.zeros(1, 1), positions=told(case, model, "gen").positions[:1])
    where = [(s, every_position(1, model.tokenizer.spec.scales[s])) for s in range(1, SCALES)]
    image, text = turning.at(where, one, 6), turning.prefix(one, 6)  # after the first row's text
    cells = torch.cat([turning.get_buffer(f"scale{s}") for s in range(1, SCALES)])
    case.check("rope.image_position_ids", cells[None])
    for name, rotation in (("image", image), ("context", text)):
        case.check(f"rope.{name}_cos", rotation.cos[:, 0])
        case.check(f"rope.{name}_sin", rotation.sin[:, 0])
    case.check("rope.q_rotated", image.rotate(case.ins["rope.q"]))


@torch.no_grad()
def test_condition(case, model):
    given = told(case, model, "gen")
    case.check("gen.context_embedded", given.tokens)
    case.check("gen.context_avg_pool", pooled(given, "mean"))
    case.check("gen.context_max_pool", pooled(given, "max"))


@torch.no_grad()
def test_training(case, model):
    """With the positions kept, the texts dropped and the codes sampled that the official pass was given."""
    tokens = model.tokenizer.encode(case.ins["train.image"])
    assert torch.equal(tokens.codes[LAST], case.ins["train.last_layer_gt_discrete"])
    truth = replay(model.tokenizer, tokens, model.order.scales, ())
    views = torch.cat([truth.views[s] for s in range(1, SCALES)], 1)
    torch.testing.assert_close(views, case.ins["train.var_input"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(truth.owed[LAST], case.ins["train.last_layer_gt"], rtol=1e-5, atol=1e-5)
    due, kept = _kept(case, model)
    given = told(case, model, "train")
    dropped = (case.ins["train.drop_randn"] < 0.1)[:, None, None]
    given = replace(given, tokens=torch.where(dropped, given.null.tokens, given.tokens))
    hidden = model.backbone(truth.canvas, truth.views, due, given)
    logits = model.code_head.logits(hidden, given)
    case.check("train.logits_every8", logits[..., ::8])
    case.check("train.logits_lse", logits.logsumexp(-1))
    n = kept.shape[1]
    left = filter_logits(logits[:, -n:].double(), model.residual_top_k, model.residual_top_p)
    case.check("train.last_n_kept_topk600_topp0.96", left.isfinite().sum(-1))
    step, codes = Step(LAST, kept, (n,)), case.ins["train.last_tokens"]
    vectors = model.tokenizer.lookup(codes, LAST)
    joined = model._join(hidden[:, -n:], truth.before[LAST], step, codes, vectors).flatten(0, 1)
    target = (take(truth.owed[LAST], kept) - vectors).flatten(0, 1)
    case.check("train.head_z", joined)
    case.check("train.head_target_div_0.6", target / model.residual_head.std)
    _check_losses(case, model.residual_head, joined, target)


def _kept(case, model):
    """What is due when the official masks leave out the first of each row's order."""
    order = case.ins["train.orders"]
    left_out = min(int(torch.ceil(64 * case.ins["train.mask_rate"])), 64 - model.order.keep_at_least)
    kept = order[:, left_out:].sort(1).values
    rows = torch.arange(2)[:, None].expand_as(kept)
    case.check("train.kept_positions", torch.stack([rows.flatten(), kept.flatten()]))
    whole = [every_position(2, grid) for grid in model.tokenizer.spec.scales[:LAST]]
    positions = torch.cat([*whole, kept], 1)
    grids = (*model.tokenizer.spec.scales[:LAST], (kept.shape[1],))
    return StepLayout(positions, (*(w.shape[1] for w in whole), kept.shape[1]), tuple(range(SCALES)), grids), kept


def _check_losses(case, head, joined, target):
    noise, t = case.ins["train.noise"][:, None], ((case.ins["train.t"] + 1) / 1000)[:, None]
    times = len(noise) // len(target)
    hidden, target = joined.repeat(times, 1)[:, None], target.repeat(times, 1)[:, None]
    r = target / head.std
    prediction = head.net(head.objective.corrupt(r, t, noise), t, hidden, (1,))
    error = (prediction[..., : r.shape[-1]] - noise).square().mean(-1)
    case.check("train.rows.mse", error[:, 0])
    case.check("train.rows.vb", head.objective.bound(prediction, r, t, noise)[:, 0])
    losses = head.loss_at(target, hidden, (1,), t, noise)[:, 0]
    case.check("train.rows.loss", losses)
    case.check("train.diff_loss", losses.mean())


@torch.no_grad()
def test_head(case, model):
    """Single calls of the head's network, and whole draws."""
    head, x, hidden = model.residual_head, case.ins["head.x"][:, None], case.ins["head.z"][:, None]
    for entry in (0, 1, 137, 500, 999):
        t = torch.full((24, 1), (entry + 1) / 1000)
        case.check(f"head.net.t{entry}", head.net(x, t, hidden, (1,))[:, 0])
        both = head.net(torch.cat([x[:12], x[:12]]), t, hidden, (1,))
        guided = guided_prediction(both, 4.0, 16)[:, 0]
        case.check(f"head.cfg3.t{entry}", guided, part=slice(12))
    steps, solver = _steps(case), sampler(case).solver
    for name, w, rows in (("cfg2.5", 3.5, 12), ("cfg0", 1.0, 12), ("cfg1_unguided", 1.0, 24)):
        start = case.ins["head.noise_init_full" if rows == 24 else "head.noise_init_half"]
        noise = torch.cat([start[None], case.ins["head.noise_steps"][:, :rows]]).transpose(0, 1)[:, :, None]
        drawn = head.draw(hidden if w != 1.0 else hidden[:rows], (1,), noise, solver, steps, w)[:, 0]
        case.check(f"head.sample.{name}", drawn, part=slice(rows))


def test_generation(case, model):
    for run in RUNS:
        if f"{run}.final_fhat" in case.outs:
            check_run(case, model, run)


@torch.no_grad()
def check_run(case, model, run):
    """Logits, what may be drawn, codes and latent after every scale; the residual; the picture."""
    cfg, settings = RUNS[run]
    chosen = sampler(case, f"guidance={[1 + cfg * r for r in RATIO]}", *settings)
    sizes = [n for s, n in CODES.items() if s < LAST] + list(SETS if chosen.sets == 2 else (64,))
    given, record = told(case, model, "gen"), []
    noise = Stored(2, _draws(case, run, sizes, chosen.sets), rest=0.5)
    draw, residuals = model.residual_head.draw, []
    tokens = [case.ins[f"{run}.s{j}.tokens"] for j in range(len(sizes)) if f"{run}.s{j}.tokens" in case.ins]
    with pytest.MonkeyPatch.context() as patch, Forced(model.code_head, tokens) if tokens else nullcontext():
        patch.setattr(model.residual_head, "draw", lambda *a: residuals.append(draw(*a)) or residuals[-1])
        image = model.sample_at(given, noise, chosen, record=record)
    for j, drawn in enumerate(record):
        _check_step(case, model, f"{run}.s{j}", drawn, given.guided(), settings_at(chosen, j, len(record)))
    for k, residual in enumerate(residuals):
        flat = residual.flatten(0, 1)
        case.check(f"{run}.s{LAST + k}.head_sample", flat, part=slice(len(flat)))
    case.check(f"{run}.final_fhat", record[-1].canvas.latent)
    case.check(f"{run}.image01", (image + 1) / 2)


def _check_step(case, model, name, drawn, rows, now):
    both = model.code_head.logits(drawn.hidden, rows)
    hidden, whole, guided = drawn.hidden, both, guide(both, now.guidance, 2)
    if drawn.step.scale == 0:  # the official code computes all of the prefix' logits
        hidden = model.backbone.begin(rows).prefix
        whole = model.code_head.logits(hidden, rows)
    kept = model.code_head.filtered(guided, now.temperature, now.top_k, now.top_p)
    s, at = drawn.step.scale, drawn.step.positions
    codes = take(drawn.canvas.codes[s], at)
    found = {
        "hidden": hidden, "n_kept": kept.isfinite().sum(-1).flatten(), "tokens": codes,
        "top_k": torch.tensor(now.top_k), "fhat": drawn.canvas.latent,
    }  # fmt: skip
    for kind, logits in (("guided", guided), ("cond", whole[:2]), ("uncond", whole[2:])):
        found |= {
            f"{kind}.sub": logits[..., ::16], f"{kind}.lse": logits.logsumexp(-1),
            f"{kind}.max": logits.amax(-1), f"{kind}.argmax": logits.argmax(-1),
        }  # fmt: skip
    if f"{name}.head_cfg" in case.outs:
        told_of = model.tokenizer.lookup(codes, s)
        found["head_cfg"] = torch.tensor(now.head_guidance - 1)
        found["head_z"] = model._join(drawn.hidden, drawn.before, drawn.step, codes, told_of).flatten(0, 1)
    for key, value in found.items():
        if f"{name}.{key}" in case.outs:
            case.check(f"{name}.{key}", value)


def _draws(case, run, sizes, sets):
    """Noise of the head, the order of the last scale's positions, and what smoothing adds."""
    stored = {}
    for k in range(sets):
        if f"{run}.noise_init.{k}" in case.ins:
            start, steps = case.ins[f"{run}.noise_init.{k}"], case.ins[f"{run}.noise_steps.{k}"]
            noise = torch.cat([start[None], steps[:, : len(start)]])  # the rows of the unconditional half are not used
            stored["residual", LAST + k] = noise.unflatten(1, (2, -1)).transpose(0, 1)
    rank = case.ins[f"{run}.orders"].argsort(1)
    first = rank >= SETS[1]  # what is masked last comes first; within a set positions ascend
    stored["order", 0] = torch.where(first, 0.0, 1.0) + torch.arange(64) / 100
    for j, n in enumerate(sizes):
        count = torch.arange(1, 2 * n * 640 + 1, dtype=torch.float64)
        u = (count * 0.6180339887498949).frac().clamp(1e-9, 1 - 1e-9)
        stored["mix", j] = -(-u.log()).float().log().view(2, n, 640)
    return stored


def _steps(case):
    return int(case.config["num_sampling_steps"])


def test_all_were_compared(case):
    case.finish()
