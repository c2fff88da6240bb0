"""Schedules, posteriors, the loss and the draw of a released head against stored outputs of the official code.

DiT's respaced diffusions for the tables (DiT, MAR and HART share the code), and HART's head, whose network is ours
under other names, for everything that stands between a table and a residual.
"""

import pytest
import torch
from safetensors.torch import load_file

from hybridgen.diffusion.path import COSINE, LINEAR_BETAS, reverse
from hybridgen.diffusion.solvers import DDPM
from hybridgen.heads.diffusion import DiffusionHead
from hybridgen.types import TokenSpec

TABLES = {"cosine": COSINE, "linear": LINEAR_BETAS}
NAMES = {
    "input_proj": "embed_x", "time_embed": "embed_t", "cond_embed": "embed_hidden", "res_blocks": "blocks",
    "in_ln": "norm", "final_layer.adaLN_modulation.1": "modulation.linear", "final_layer.linear": "out",
    "adaLN_modulation.1": "modulation.linear",
}  # fmt: skip


@pytest.fixture(scope="module")
def stored(shared):
    return load_file(shared / "refs/diffusion_tables/io.safetensors")


@pytest.fixture(scope="module")
def hart(shared):
    return load_file(shared / "refs/hart_t2i/io.safetensors")


@pytest.fixture(scope="module")
def head(shared):
    """HART's head: noise prediction, learned variance, the constant 0.6, clean values clipped to 1."""
    head = DiffusionHead(
        TokenSpec((8, 8), 16, ((8, 8),), 640), 64, mlp_width=64, inner=1.0, depth=2, prediction="eps",
        learned_variance=True, clip=1.0, normalise="constant", constant=0.6,
    )  # fmt: skip
    weights = load_file(shared / "refs/hart_t2i/weights.safetensors")
    renamed = {}
    for name, weight in weights.items():
        if name.startswith("diffloss.net."):
            for theirs, ours in NAMES.items():
                name = name.replace(theirs, ours)
            renamed[name.removeprefix("diffloss.")] = weight
    head.load_state_dict({**renamed, "mean": head.mean, "std": head.std})
    return head.eval()


@pytest.mark.parametrize("respacing", ["full", "8", "10", "100"])
@pytest.mark.parametrize("name", TABLES)
def test_respacing(stored, name, respacing):
    expected = stored[f"out.{name}.{respacing}.timestep_map"]
    times = TABLES[name].times(len(expected))
    assert torch.equal((1000 * times).round().long().flip(0)[1:] - 1, expected)


@pytest.mark.parametrize("respacing", ["full", "8", "10", "100", "ddim10", "ddim25", "5,3"])
@pytest.mark.parametrize("name", TABLES)
def test_tables(stored, name, respacing):
    """alpha_bar and the posterior of every respaced step. Stored in float32: 1e-6, relative."""
    path, said = TABLES[name], {k: stored[f"out.{name}.{respacing}.{k}"] for k in (
        "alphas_cumprod", "betas", "timestep_map", "posterior_mean_coef1", "posterior_mean_coef2", "posterior_variance",
    )}  # fmt: skip
    entries = [-1, *said["timestep_map"].tolist()]
    stride = len(said["timestep_map"]) // len(said["betas"])  # the full tables are stored at every 25th entry
    for k in range(0, len(said["timestep_map"]), stride):
        t, s = (entries[k + 1] + 1) / 1000, (entries[k] + 1) / 1000
        step = reverse(path, t, s)
        ours = [path.alpha(t) ** 2, step.large, step.from_clean, step.from_x, step.small]
        theirs = [said[key][k // stride].item() for key in (
            "alphas_cumprod", "betas", "posterior_mean_coef1", "posterior_mean_coef2", "posterior_variance",
        )]  # fmt: skip
        assert ours == pytest.approx(theirs, rel=2e-6, abs=1e-12), (k, ours, theirs)


@pytest.mark.parametrize("entry", [0, 1, 137, 500, 999])
def test_network(head, hart, entry):
    x, hidden = hart["in.head.x"][:, None], hart["in.head.z"][:, None]
    t = torch.full((24, 1), (entry + 1) / 1000)
    with torch.no_grad():
        prediction = head.net(x, t, hidden, (1,))[:, 0]
    torch.testing.assert_close(prediction, hart[f"out.head.net.t{entry}"], rtol=1e-5, atol=1e-5)


def test_loss(head, hart):
    """Squared error, and the bound above the lowest level: there HART counts 256 bins, and we a density."""
    times = len(hart["in.train.t"]) // len(hart["out.train.head_z"])
    hidden = hart["out.train.head_z"].repeat(times, 1)[:, None]
    target = 0.6 * hart["out.train.head_target_div_0.6"].repeat(times, 1)[:, None]
    entry, noise = hart["in.train.t"], hart["in.train.noise"][:, None]
    t = ((entry + 1) / 1000)[:, None]
    with torch.no_grad():
        ours = head.loss_at(target, hidden, (1,), t, noise)[:, 0]
    above = (entry > 0) & (entry < 999)  # at 999 the published float32 form multiplies rounding by 20291
    assert above.sum() > 200
    torch.testing.assert_close(ours[above], hart["out.train.rows.loss"][above], rtol=1e-4, atol=1e-4)
    top = entry == 999
    torch.testing.assert_close(ours[top], hart["out.train.rows.loss"][top], rtol=2e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "guidance", "rows"), [("cfg2.5", 3.5, 12), ("cfg0", 1.0, 12), ("cfg1_unguided", 1.0, 24)]
)
def test_draw(head, hart, name, guidance, rows):
    """Eight steps. HART's guidance is one less than ours; rows that are not clipped carry 1e-7 as 2e-3 at first."""
    hidden = hart["in.head.z"][:, None]
    start = hart["in.head.noise_init_full" if rows == 24 else "in.head.noise_init_half"]
    noise = torch.cat([start[None], hart["in.head.noise_steps"][:, :rows]]).transpose(0, 1)[:, :, None]  # (B, 9, 1, C)
    with torch.no_grad():
        drawn = head.draw(hidden, (1,), noise, DDPM(), 8, guidance)[:, 0]
    expected = hart[f"out.head.sample.{name}"][:rows]
    assert (drawn - expected).square().mean().sqrt() < 1e-5
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-4)
