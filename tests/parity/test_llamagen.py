"""LlamaGen, by class and by text: training pass and every run, code by code, against the official code's outputs."""

from dataclasses import replace

import pytest
import torch
from reference import Case
from replaying import Forced, Stored, generator, imported, sampler

from hybridgen.nn.draws import Draws
from hybridgen.samplers.schedules import guide, settings_at
from hybridgen.types import Condition

GUIDED = 22  # the prefix' step, and those after it up to and with index 20
RUNS = {
    ("llamagen_c2i", "gen_greedy"): ["guidance=4.0", "temperature=0"],
    ("llamagen_c2i", "gen_uniform"): [
        f"guidance={[2.0] * GUIDED + [1.0]}", "temperature=0.9", "top_k=40", "top_p=0.9",
    ],
    ("llamagen_c2i", "gen_nocfg"): ["guidance=1.0", "temperature=1.2", "top_k=30"],
    ("llamagen_t2i", "gen_greedy"): ["guidance=4.0", "temperature=0", "top_k=0"],
}  # fmt: skip


@pytest.fixture(scope="module", params=["llamagen_c2i", "llamagen_t2i"])
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def model(case):
    return imported(case, "llamagen_vq") if case.name == "llamagen_c2i" else generator(case)


def condition(case, model, key):
    """What is asked for; in the training pass, some rows ask for nothing and nobody looks at the text's mask."""
    asked = case.ins[f"{key}.cond"]
    if asked.dim() == 1:
        dropped = case.ins.get("train.drop_rand", torch.ones(2)) < 0.1 if key == "train" else torch.zeros(2) > 0
        return model.conditioner({"label": torch.where(dropped, 10, asked)}, None)
    mask = case.ins.get(f"{key}.emb_masks", torch.ones(asked.shape[:2]))
    given = model.conditioner({"text": asked, "text_mask": mask}, None)
    if key == "gen":
        return given
    dropped = case.ins["train.drop_rand"] < 0.1
    return replace(given, tokens=torch.where(dropped[:, None, None], given.null.tokens, given.tokens), mask=None)


def test_angles(case, model):
    """Cosine and sine of each pair: zeros for the prefix, then the grid row by row."""
    turning, given = model.backbone.rotary, condition(case, model, "gen")
    prefix = 1 if given.tokens is None else given.tokens.shape[1]
    every = torch.arange(case.outs["freqs_cis"].shape[0] - prefix)[None]
    one = Condition(vector=torch.zeros(1, 1))
    rotation = turning.prefix(one, prefix).then(turning.at([(0, every)], one, prefix))
    case.check("freqs_cis", torch.stack([rotation.cos, rotation.sin], -1)[0, 0, :, ::2])


def test_training(case, model):
    codes = case.ins["train.tokens"]
    canvas = model.tokenizer.blank(2).with_(codes=[codes])
    given, due = condition(case, model, "train"), model.order.training(2, Draws("not used"))
    with torch.no_grad():
        logits = model.code_head.logits(model.backbone(canvas, {}, due, given), given)
    losses = model.code_head.loss(logits, codes)
    case.check("train.logits", logits)
    case.check("train.loss", losses.mean())
    valid = case.ins["train.valid"][:, None].expand_as(losses)
    case.check("train_valid.loss", (losses * valid).sum() / valid.sum().clamp(min=1))


def test_generation(case, model):
    for name, run in RUNS:
        if name == case.name:
            check_run(case, model, run)


def check_run(case, model, run):
    """Logits of both halves, guided, what may be drawn of them, and the codes."""
    chosen, record, given = sampler(case, *RUNS[case.name, run]), [], condition(case, model, "gen")
    sequence = case.outs[f"{run}.sequence"]
    every = next(v for v in case.about["variants"] if v["name"] == run).get("every", 1)
    steps = len(model.order.plan(1))
    stored = {("codes", j): u[:, None, None] for j, u in enumerate(case.ins.get(f"{run}.u", torch.zeros(2, 0)).T)}
    noise = Stored(2, stored, rest=0.5)
    if f"{run}.tokens" in case.ins:
        tokens = torch.nn.functional.pad(case.ins[f"{run}.tokens"], (0, steps))
        with Forced(model.code_head, tokens.T[..., None]):
            model.sample_at(given, noise, chosen, record=record)
    else:
        model.sample_at(given, noise, chosen, record=record)
    rows, found = given.guided() if chosen.guidance != 1.0 else given, {"raw_logits": [], "guided": [], "probs": []}
    for j, drawn in enumerate(record[: sequence.shape[1] : every]):
        now = settings_at(chosen, j * every, steps)
        raw = model.code_head.logits(drawn.hidden, rows)
        guided = guide(raw, now.guidance, 2)
        kept = model.code_head.filtered(guided, now.temperature, now.top_k, now.top_p)
        for name, value in zip(found, (raw, guided, kept.softmax(-1).float()), strict=True):
            found[name].append(value.detach())
    for name, values in found.items():
        case.check(f"{run}.{name}", torch.cat(values, 1))
    case.check(f"{run}.sequence", record[-1].canvas.codes[0][:, : sequence.shape[1]])


def test_all_were_compared(case):
    case.finish()
