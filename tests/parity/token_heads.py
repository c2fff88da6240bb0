"""The comparisons of a head per token, for every case that holds one: HART's two and MAR's."""

from dataclasses import replace

import torch
from grids import Between
from reference import Case

from hybridgen.diffusion.solvers import DDPM
from hybridgen.heads.denoise import guide

ENTRIES = (0, 1, 137, 500, 999)


def asked(head, x, entry, told):
    """The network's answer at one entry of the table, (rows, 1, 2C)."""
    with torch.no_grad():
        return head.net(x, torch.full((len(x), 1), (entry + 1) / 1000), told, (1,))


def halves(both, guidance):
    """Guided rows, then null rows with the same prediction and the variance of their own."""
    channels = both.shape[-1] // 2
    guided = guide(both, guidance, channels)
    return torch.cat([guided, torch.cat([guided[..., :channels], both.chunk(2)[1][..., channels:]], -1)])


def check_network(case, head, entry, guidance):
    """One call, and a guided one; `guidance` in our convention is what the case calls 3."""
    x, told = case.ins["head.x"][:, None], case.ins["head.z"][:, None]
    case.check(f"head.net.t{entry}", asked(head, x, entry, told)[:, 0])
    both = asked(head, x[: len(x) // 2].repeat(2, 1, 1), entry, told)
    case.check(f"head.cfg3.t{entry}", halves(both, guidance)[:, 0])


def check_draw(case, head, key, steps, guidance, temperature=1.0):
    """A whole draw. The official code also carries the null half, and throws it away; ours carries the first."""
    told, first = case.ins["head.z"][:, None], len(case.ins["head.z"]) // 2
    guided = guidance is not None
    start = case.ins["head.noise_init_half"].repeat(2, 1) if guided else case.ins["head.noise_init_full"]
    noise = torch.cat([start[None], case.ins["head.noise_steps"][:steps]]).transpose(0, 1)[:, :, None]

    def predict(x, t):
        if not guided:
            return head.objective.read(head.net(x, t, told, (1,)), x, t)
        return head.objective.read(halves(head.net(x[:first].repeat(2, 1, 1), t, told, (1,)), guidance), x, t)

    rows = first if guided else len(told)
    with torch.no_grad():
        whole = head.mean + head.std * DDPM().solve(predict, head.objective.path, noise, steps, temperature)
        ours = head.draw(told, (1,), noise[:rows], DDPM(), steps, guidance if guided else 1.0, temperature)
    worst = whole.abs().max().item()
    torch.testing.assert_close(ours, whole[:rows], rtol=0, atol=1e-5 * worst)  # what we throw away changes nothing
    case.check(key, whole[:, 0])


def check_rows(case, head, target, told, prefix="train"):
    """Squared error, bound and their sum for each training row, of targets and hidden vectors given row by row."""
    noise, t = case.ins["train.noise"][:, None], ((case.ins["train.t"] + 1) / 1000)[:, None]
    r, objective = target / head.std, head.objective
    with torch.no_grad():
        prediction = head.net(objective.corrupt(r, t, noise), t, told, (1,))
        error = replace(objective, learned_variance=False).loss(prediction, r, t, noise)
        whole = head.loss_at(target, told, (1,), t, noise)[:, 0]
    case.check(f"{prefix}.rows.mse", error[:, 0])
    case.check(f"{prefix}.rows.vb", objective.bound(prediction, r, t, noise)[:, 0])
    if f"{prefix}.rows.loss" in case.outs:
        case.check(f"{prefix}.rows.loss", whole)
    return whole


def check_step(case, head, entry, temperature, clip, solver=None):
    """One reverse step among 1000, from x_t of order 1: by our solver, and by the official arrays and network calls.

    Whole draws are nearly blind where nothing is clipped: their first steps multiply the noise by thousands.
    """
    tables, x, noise = Case("diffusion_tables"), case.ins["head.x"], case.ins["head.noise_steps"][0]
    at = {k.rpartition(".")[2]: v[entry // 25] for k, v in tables.outs.items() if k.startswith("cosine.full.")}
    said, variance = case.outs[f"head.net.t{entry}"].chunk(2, -1)
    clean = at["sqrt_recip_alphas_cumprod"] * x - at["sqrt_recipm1_alphas_cumprod"] * said
    clean = clean if clip is None else clean.clamp(-clip, clip)
    mean = at["posterior_mean_coef1"] * clean + at["posterior_mean_coef2"] * x
    low, high = at["posterior_log_variance_clipped"], at["betas"].log()
    deviation = torch.exp(0.5 * (low + 0.5 * (variance + 1) * (high - low))) if entry else 0.0
    expected = mean + temperature * deviation * noise
    path = Between(head.objective.path, (entry + 1) / 1000, entry / 1000)

    def predict(x, t):
        return head.objective.read(head.net(x, t, case.ins["head.z"][:, None], (1,)), x, t)

    with torch.no_grad():
        given = torch.stack([x, noise], 1)[:, :, None]
        ours = (solver or DDPM()).solve(predict, path, given, 1, temperature)[:, 0]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
