"""What the cases of whole latents share: the network called as it is, and guided rows drawn twice.

The official code carries B conditional and B null rows through a draw, shows the network the first half twice, and
throws the second away; ours carries the first. To compare all of it, `both_halves` does as they do with our parts.
"""

import torch

from hybridgen.diffusion.path import Path
from hybridgen.heads.denoise import guide
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_grid, to_sequence

GRID, GUIDED = (8, 8), 3


def hidden(model, label, rng=None):
    """What the model tells its head about these labels; 10 stands for none."""
    condition, due = model.conditioner({"label": label}, rng), model.order.training(len(label), Draws("unused"))
    with torch.no_grad():
        return model.backbone(model.tokenizer.blank(len(label)), {}, due, condition)


def asked(model, x, t, told):
    """The network's answer as a map; one time a row."""
    with torch.no_grad():
        return to_grid(model.residual_head.net(to_sequence(x), t[:, None], told, GRID), GRID)


def halves(both, guidance):
    """Guided rows, then null rows with the guided channels in place of their own, (2B, n, O)."""
    guided = guide(both, guidance, GUIDED)
    return torch.cat([guided, torch.cat([guided[..., :GUIDED], both.chunk(2)[1][..., GUIDED:]], -1)])


def drawn(case, model, solver, steps, record):
    """Both halves of a guided draw; `record` fills with what the network was asked at, and the times."""
    head, told = model.residual_head, hidden(model, torch.cat([case.ins["y"], torch.full((2,), 10)]))
    guidance = case.about["cfg_scale"]

    def predict(x, t):
        record.append((x, t[0, 0].item()))
        both = head.net(x[:2].repeat(2, 1, 1), t[:, :1], told, GRID)
        return head.objective.read(halves(both, guidance), x, t)

    noise = noises(case, solver, steps)
    with torch.no_grad():
        whole = solver.solve(predict, head.objective.path, noise, steps)
        first = head.draw(told, GRID, noise[:2], solver, steps, guidance)
    torch.testing.assert_close(first, whole[:2], rtol=1e-5, atol=1e-5)  # what we throw away changes nothing
    return to_grid(whole, GRID)


def noises(case, solver, steps):
    """The start, for both halves alike, and what was drawn for each step."""
    start, later = case.ins["sample.noise"].repeat(2, 1, 1, 1), case.ins["sample.step_noise"][: solver.draws(steps)]
    return torch.stack([to_sequence(noise) for noise in (start, *later)], 1)


class Between(Path):
    """A path that is drawn along from one time to another, in one step."""

    reaches_zero = False

    def __init__(self, path, t, s):
        self.path, self.ends = path, (t, s)

    def alpha(self, t):
        return self.path.alpha(t)

    def sigma(self, t):
        return self.path.sigma(t)

    def times(self, steps, spacing=None):
        return torch.tensor(self.ends, dtype=torch.float64)
