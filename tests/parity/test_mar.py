"""The tiny MAR, its weights imported: a pass in training and in evaluation, the head, and every set drawn."""

from math import ceil

import pytest
import torch
from reference import Case

from hybridgen.config.compose import compose
from hybridgen.diffusion.solvers import DDPM
from hybridgen.heads.denoise import guide
from hybridgen.nn.positions import every_position, put, take, to_sequence
from hybridgen.orders.base import known_after
from hybridgen.published.importer import filled, match
from hybridgen.samplers.noise import Noise
from hybridgen.samplers.sampler import Sampler
from hybridgen.samplers.schedules import settings_at
from hybridgen.types import Condition, StepLayout

GENERATIONS = {
    "gen_linear": Sampler(sets=5, ramp="known", guidance=3.0, head_steps=10, solver=DDPM()),
    "gen_constant": Sampler(sets=3, guidance=2.0, head_steps=10, solver=DDPM(), head_temperature=0.9),
    "gen_nocfg": Sampler(sets=4, ramp="known", head_steps=10, solver=DDPM()),
}


@pytest.fixture(scope="module")
def case():
    return Case("mar")


def imported(case, *overrides):
    """The case's experiment with the case's weights."""
    composed = compose(case.experiment(), overrides)
    return filled(composed, match(composed, [str(case.weights_file)]))


@pytest.fixture(scope="module")
def model(case):
    return imported(case)


def encoded(backbone, call):
    """What the encoder gives out during a call, beside what the call gives."""
    seen = []
    hook = backbone.encoder.register_forward_hook(lambda module, args, out: seen.append(out))
    try:
        with torch.no_grad():
            return call(), seen[0]
    finally:
        hook.remove()


def teacher_forced(case, model):
    """Hidden vectors at all positions when those that the case masks are due; the encoder's output; who is due."""
    latent, order = case.ins["train.latent"], case.ins["train.orders"]
    due = order[:, : ceil(order.shape[1] * case.ins["train.mask_rate"].item())]
    canvas = model.tokenizer.blank(len(latent))
    canvas = canvas.with_(vectors=[to_sequence(latent)], known=[torch.ones_like(order, dtype=torch.bool)])
    known = put(canvas.known[0], due, torch.zeros_like(due, dtype=torch.bool))
    every = every_position(len(latent), (order.shape[1],))

    def hidden(condition):
        call = lambda: model.backbone._hidden(canvas, known, int(known[0].sum()), every, condition)  # noqa: E731
        return encoded(model.backbone, call)

    return hidden, due, canvas


def told(case, model, dropped):
    """The condition of the training rows, those whose number is below the share dropped."""
    given = model.conditioner({"label": case.ins["train.label"]}, None)
    null = (case.ins["train.drop_rand"] < model.conditioner.drop) & torch.tensor(dropped)
    return Condition(torch.where(null[:, None], given.null.vector, given.vector))


@pytest.mark.parametrize(("name", "dropped"), [("train", True), ("eval_forward", False)])
def test_teacher_forced(case, model, name, dropped):
    hidden, due, canvas = teacher_forced(case, model)
    condition = told(case, model, dropped)
    z, encoder = hidden(condition)
    case.check(f"{name}.encoder", encoder)
    case.check(f"{name}.z", z)
    mask = put(torch.zeros(z.shape[:2]), due, torch.ones(due.shape))
    case.check(f"{name}.mask", mask)
    if name == "train":
        case.check("train.patchified", to_sequence(case.ins["train.latent"]))
    forward = model.backbone(canvas, {}, StepLayout(due, (due.shape[1],), (0,), ((due.shape[1],),)), condition)
    assert torch.equal(forward, take(z, due)), "what is due is a part of that"
    mse, bound = rows_of_loss(case, model, z)
    case.check(f"{name}.rows.mse", mse)
    case.check(f"{name}.rows.vb", bound)
    rows = mask.flatten().repeat(model.draws)
    case.check(f"{name}.loss", ((mse + bound) * rows).sum() / rows.sum())


def rows_of_loss(case, model, z):
    """Squared error and bound of each row: copies of the batch one after the other, each with its time and noise."""
    head, latent = model.residual_head, to_sequence(case.ins["train.latent"])
    target, hidden = (x.flatten(0, 1).repeat(model.draws, 1)[:, None] for x in (latent, z))
    t, noise = ((case.ins["train.t"] + 1) / 1000)[:, None], case.ins["train.noise"][:, None]
    with torch.no_grad():
        prediction = head.net(head.objective.corrupt(target, t, noise), t, hidden, (1,))
        bound = head.objective.bound(prediction, target, t, noise)[:, 0]
        whole = head.loss_at(target, hidden, (1,), t, noise)[:, 0]
    return whole - bound, bound


@pytest.mark.parametrize("entry", [0, 1, 137, 500, 999])
def test_network(case, model, entry):
    x, hidden = case.ins["head.x"][:, None], case.ins["head.z"][:, None]
    t = torch.full((12, 1), (entry + 1) / 1000)
    with torch.no_grad():
        case.check(f"head.net.t{entry}", model.residual_head.net(x, t, hidden, (1,))[:, 0])
        both = model.residual_head.net(x[:6].repeat(2, 1, 1), t, hidden, (1,))
    guided = guide(both, 3.0, 8)[:, 0]
    case.check(f"head.cfg3.t{entry}", torch.cat([guided, torch.cat([guided[:, :8], both[6:, 0, 8:]], 1)]))


@pytest.mark.parametrize("steps", [100, 10])
@pytest.mark.parametrize(("name", "guidance", "temperature"), [("cfg1", 1.0, 0.95), ("cfg2.5", 2.5, 1.0)])
def test_draw(case, model, steps, name, guidance, temperature):
    """The official loop draws both halves of guided rows and throws the second away; ours draws the first."""
    rows = 12 if guidance == 1 else 6
    start = case.ins["head.noise_init_full" if rows == 12 else "head.noise_init_half"]
    noise = torch.cat([start[None], case.ins["head.noise_steps"][:steps, :rows]]).transpose(0, 1)[:, :, None]
    how = (DDPM(), steps, guidance, temperature)
    with torch.no_grad():
        drawn = model.residual_head.draw(case.ins["head.z"][:, None], (1,), noise, *how)[:, 0]
    case.check(f"head.sample{steps}.{name}", drawn, part=slice(rows))


class Told(Noise):
    """The case's order and noises. Its sets are taken from the end of its order, and stand in raster order."""

    def __init__(self, case, name, plan):
        super().__init__(range(2), torch.device("cpu"))
        self.case, self.name, self.plan = case, name, plan
        self.drawn = case.ins[f"{name}.orders"].flip(1)

    def rank(self, j):
        """Where each position of set j stands among them in raster order."""
        planned = self.plan[j]
        return self.drawn[:, planned.done : planned.done + planned.count].argsort(1).argsort(1)

    def uniform(self, purpose, step, *shape):
        assert purpose == "order"
        return self.drawn.argsort(1) / self.drawn.shape[1]

    def normal(self, purpose, step, *shape):
        assert purpose == "residual"
        rank = self.rank(step)
        start = self.case.ins[f"{self.name}.noise_init.{step}"][None]
        later = self.case.ins[f"{self.name}.noise_steps.{step}"][:, : start.shape[1]]
        noise = torch.cat([start, later]).unflatten(1, rank.shape).transpose(0, 1)  # (B, 1 + m, n, C)
        return noise.gather(2, rank[:, None, :, None].expand_as(noise))


@pytest.mark.parametrize("name", GENERATIONS)
def test_generation(case, model, name):
    sampler = GENERATIONS[name]
    plan = model.order.plan(sampler.sets)
    noise, steps = Told(case, name, plan), []
    condition = model.conditioner({"label": case.ins["gen.label"]}, None)
    model.sample_at(condition, noise, sampler, record=steps)
    for j, (planned, known) in enumerate(zip(steps, known_after(plan), strict=True)):
        raster = planned.step.positions.argsort(1)
        rows = planned.hidden.shape[0]
        z = take(planned.hidden, raster.repeat(rows // 2, 1))
        case.check(f"{name}.s{j}.z", z.flatten(0, 1))
        case.check(f"{name}.s{j}.cfg", torch.tensor([settings_at(sampler, j, len(plan), known).head_guidance]))
        drawn = take(take(planned.canvas.vectors[0], planned.step.positions), raster).flatten(0, 1)
        case.check(f"{name}.s{j}.tokens", drawn, part=slice(len(drawn)))
    case.check(f"{name}.latent", steps[-1].canvas.latent)


SWITCHED = {
    "model.backbone.block.mlp=gelu": "train.encoder",
    "model.residual_head.objective.schedule=linear": "train.rows.mse",
    "model.residual_head.objective.clip=1.0": "head.sample10.cfg1",
    "model.residual_head.objective.prediction=v": "head.sample10.cfg1",
    "model.residual_head.objective.likelihood=density": "train.rows.vb",
    "model.residual_head.normalise=constant": "gen_nocfg.latent",
}


@pytest.mark.slow
@pytest.mark.parametrize(("override", "key"), SWITCHED.items())
def test_switching_an_option_is_seen(case, override, key):
    other = imported(case, override)
    account = dict(case.checked)
    runs = {
        "train": lambda: test_teacher_forced(case, other, "train", True),
        "head": lambda: test_draw(case, other, 10, "cfg1", 1.0, 0.95),
        "gen_nocfg": lambda: test_generation(case, other, "gen_nocfg"),
    }
    with pytest.raises(AssertionError, match="relative error"):
        runs[key.split(".")[0]]()
    case.checked.clear()
    case.checked.update(account)


def test_every_output_was_compared(case):
    case.finish()
