"""VAR: the teacher-forced pass, and every scale of every run, against the official code's stored outputs."""

import pytest
import torch
from reference import Case
from replaying import Forced, Stored, imported, sampler

from hybridgen.nn.draws import Draws
from hybridgen.samplers.schedules import guide, settings_at
from hybridgen.tokenizers.canvas import replay

SCALES, NO_DRAWS = 5, Draws("not used")
SMOOTH = [
    "mix=[" + ", ".join(str(max(0.27 * (1 - 0.95 * j / 4), 0.005)) for j in range(SCALES)) + "]",
    "mix_gain=[1.0, 1.25, 1.5, 1.75, 2.0]",
]
RUNS = {
    ("var", "gen_greedy"): ["guidance=5.0", "temperature=0", "top_k=0", "top_p=1.0"],
    ("var", "gen_uniform"): ["guidance=2.5", "top_k=40", "top_p=0.9"],
    ("var", "gen_given_smooth"): ["guidance=2.0", "top_k=0", "top_p=0.95", *SMOOTH],
    ("var_shared_aln", "gen_uniform"): ["guidance=2.5", "top_k=40", "top_p=0.9"],
}


@pytest.fixture(scope="module", params=["var", "var_shared_aln"])
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def model(case):
    return imported(case, "var_vqvae")


def test_training(case, model):
    """Logits and cross entropies, with the classes dropped that the stored numbers drop."""
    with torch.no_grad():
        tokens = model.tokenizer.encode(case.ins["train.image"])
        assert torch.equal(torch.cat(tokens.codes, 1), case.ins["train.tokens"])
        label = torch.where(case.ins["train.drop_rand"] < 0.1, 10, case.ins["train.label"])
        condition, due = model.conditioner({"label": label}, None), model.order.training(2, NO_DRAWS)
        truth = replay(model.tokenizer, tokens, model.order.scales, ())
        views = torch.cat([truth.views[s] for s in model.order.scales[1:]], 1)
        torch.testing.assert_close(views, case.ins["train.var_input"], rtol=1e-5, atol=1e-5)
        logits = model.code_head.logits(model.backbone(truth.canvas, truth.views, due, condition), condition)
        case.check("train.logits", logits)
        case.check("train.ce_none", model.code_head.loss(logits, case.ins["train.tokens"]))
        for key, smoothing in (("train.ce_mean", 0.0), ("train.ce_label_smooth_0.1", 0.1)):
            model.code_head.label_smoothing = smoothing
            case.check(key, model.loss_at(tokens, condition, due, NO_DRAWS)["code"])
        model.code_head.label_smoothing = 0.0


def test_generation(case, model):
    for name, run in RUNS:
        if name == case.name:
            check_run(case, model, run)


def check_run(case, model, run):
    """Hidden vectors, logits, what may be drawn, codes and latent after every scale, then the picture."""
    chosen, record = sampler(case, *RUNS[case.name, run]), []
    condition = model.conditioner({"label": case.ins["gen.label"]}, None)
    noise = Stored(2, _draws(case, run), rest=0.5)
    if run == "gen_given_smooth":
        with Forced(model.code_head, [case.ins[f"{run}.s{s}.tokens"] for s in range(SCALES)]):
            image = model.sample_at(condition, noise, chosen, record=record)
    else:
        image = model.sample_at(condition, noise, chosen, record=record)
    for s, drawn in enumerate(record):
        now = settings_at(chosen, s, SCALES)
        both = model.code_head.logits(drawn.hidden, condition.guided())
        guided = guide(both, now.guidance, 2)
        kept = model.code_head.filtered(guided, now.temperature, now.top_k, now.top_p)
        given = {
            "hidden": drawn.hidden, "cond": both[:2], "uncond": both[2:], "guided": guided,
            "probs": kept.softmax(-1).float(), "tokens": drawn.canvas.codes[s], "fhat": drawn.canvas.latent,
        }  # fmt: skip
        for name, value in given.items():
            if f"{run}.s{s}.{name}" in case.outs:
                case.check(f"{run}.s{s}.{name}", value)
    case.check(f"{run}.image01", (image + 1) / 2)


def _draws(case, run):
    stored = {}
    for s in range(SCALES):
        if f"{run}.s{s}.u" in case.ins:
            stored["codes", s] = case.ins[f"{run}.s{s}.u"][..., None]
        if f"{run}.s{s}.exp_draws" in case.ins:
            stored["mix", s] = -case.ins[f"{run}.s{s}.exp_draws"].log()
    return stored


def test_all_were_compared(case):
    case.finish()
