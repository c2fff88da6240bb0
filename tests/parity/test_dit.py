"""DiT: the network, its loss and one reverse step at each noise level, and whole draws of several spacings."""

from dataclasses import replace

import pytest
import torch
from grids import GRID, Between, asked, drawn, halves, hidden, noises
from reference import Case
from replaying import Stored, imported, sampler

from hybridgen.diffusion.solvers import DDIM, DDPM
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_grid, to_sequence

DRAWS = {
    "ddpm_10": (DDPM(), 10),
    "ddpm_4": (DDPM(), 4),
    "ddpm_5,3": (DDPM(sections=(5, 3)), 8),
    "ddim_ddim10": (DDIM(spacing="stride"), 10),
}


@pytest.fixture(scope="module")
def case():
    return Case("dit")


@pytest.fixture(scope="module")
def model(case):
    return imported(case)


def time_of(entry):
    return (entry + 1) / 1000


class Dropping(Draws):
    """The uniform numbers that decide whose label is dropped."""

    def __init__(self, drawn):
        super().__init__("unused")
        self.uniform = lambda rows: drawn


def test_forward(case, model):
    x, t, y = case.ins["x"], time_of(case.ins["t"]), case.ins["y"]
    case.check("forward", asked(model, x, t, hidden(model, y)))
    dropped = hidden(model, y, Dropping(case.ins["train.drop_rand"]))
    case.check("forward_train_dropped_label", asked(model, x, t, dropped))
    both = asked(model, x.repeat(2, 1, 1, 1), t.repeat(2), hidden(model, torch.cat([y, torch.full((2,), 10)])))
    case.check("forward_with_cfg4", to_grid(halves(to_sequence(both), 4.0), GRID))


def noised(case, model):
    """Clean rows, times, noise, x_t and the prediction of the training rows."""
    objective = model.residual_head.objective
    r, noise = to_sequence(case.ins["x0"]), to_sequence(case.ins["loss.noise"])
    t = time_of(case.ins["loss.t"])[:, None].expand(r.shape[:2])
    x = objective.corrupt(r, t, noise)
    with torch.no_grad():
        return r, t, noise, x, model.residual_head.net(x, t, hidden(model, case.ins["loss.y"]), GRID)


def test_loss(case, model):
    head, (r, t, noise, x, prediction) = model.residual_head, noised(case, model)
    case.check("loss.x_t", to_grid(x, GRID))
    case.check("loss.mse", replace(head.objective, learned_variance=False).loss(prediction, r, t, noise).mean(1))
    case.check("loss.vb", head.objective.bound(prediction, r, t, noise).mean(1))
    with torch.no_grad():
        whole = head.loss_at(r, hidden(model, case.ins["loss.y"]), GRID, t, noise)
    case.check("loss.loss", whole.mean(1))


def test_one_reverse_step(case, model):
    """From x_t of order 1 to the level below; the solver's own step, silent for the mean and with unit noise."""
    head, (_, t, _, x, prediction) = model.residual_head, noised(case, model)
    clean, _, fraction = head.objective.read(prediction, x, t)
    case.check("p_mean_variance.pred_xstart", to_grid(clean, GRID))
    steps = [stepped(head.objective, x[i : i + 1], t[i, 0].item(), prediction[i : i + 1]) for i in range(len(x))]
    mean, deviation = (torch.cat(parts) for parts in zip(*steps, strict=True))
    case.check("p_mean_variance.mean", to_grid(mean, GRID))
    _, low, high = head.objective._step(t)
    log_variance = low + fraction * (high - low)
    case.check("p_mean_variance.log_variance", to_grid(log_variance, GRID))
    case.check("p_mean_variance.variance", to_grid(log_variance.exp(), GRID))
    above = t[:, 0] > 1.5 / 1000  # onto t = 0 nothing is added
    torch.testing.assert_close(deviation[above], (0.5 * log_variance[above]).exp(), rtol=2e-3, atol=1e-6)
    assert deviation[~above].count_nonzero() == 0


def stepped(objective, x, t, prediction):
    """Mean and deviation of the law one entry below t."""
    path = Between(objective.path, t, round(1000 * t - 1) / 1000)

    def step(added):
        noise = torch.stack([x, torch.full_like(x, added)], 1)
        return DDPM().solve(lambda x, t: objective.read(prediction, x, t), path, noise, 1)

    return step(0.0), (step(1.0) - step(0.0))


@pytest.mark.parametrize("name", DRAWS)
def test_draw(case, model, name):
    solver, steps = DRAWS[name]
    record = []
    final = drawn(case, model, solver, steps, record)
    entries = [round(1000 * t) - 1 for _, t in reversed(record)]
    case.check(f"sample.{name}.timestep_map", torch.tensor(entries))
    case.check(f"sample.{name}.first_step", to_grid(record[1][0], GRID))
    case.check(f"sample.{name}.mid_step", to_grid(record[steps // 2 + 1][0], GRID))
    case.check(f"sample.{name}.final_all_2B", final)


def test_the_whole_model_draws(case, model, monkeypatch):
    """From label to picture through the sampling loop; the picture is the latent, for its tokenizer changes nothing."""
    start = noises(case, DDPM(), 10)[:2]
    monkeypatch.setattr("hybridgen.model.Noise", lambda *_: Stored(2, {("residual", 0): start}, rest=0.0))
    with torch.no_grad():
        told = model.conditioner({"label": case.ins["y"]}, None)
        final = model.sample(told, range(2), sampler(case))
    expected = case.outs["sample.ddpm_10.final_all_2B"][:2]
    allowed = case.tolerances["sample.ddpm_10.final_all_2B"]["tol_max_rel"] * expected.abs().max().item()
    torch.testing.assert_close(final, expected, rtol=0, atol=allowed)


def test_every_output_was_compared(case):
    assert case.finish() == len(case.outs)
