"""Every shipped experiment composes and builds; those of a trainable size take two training steps of each stage."""

import pytest
import torch
from PIL import Image

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose
from hybridgen.config.experiments import experiment_names
from hybridgen.nn.draws import Draws

PUBLISHED = [name for name in experiment_names() if name.startswith("published/")]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*experiment_names()} - {*PUBLISHED}))
def test_an_experiment_learns(name, tmp_path):
    for kind in ("one", "two"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / kind / "a.png")
    overrides = [f"data.root={tmp_path}"] if name.endswith("folder") else []
    composed = compose(name, overrides)
    spec = assemble_data(composed).spec
    torch.manual_seed(0)
    model = assemble_model(composed, spec)
    x = torch.rand(2, spec.channels, *spec.size) * 2 - 1
    batch = {"label": torch.zeros(2, dtype=torch.long)}
    stages = {
        "tokenizer": (model.tokenizer, lambda i: model.tokenizer.loss(x, Draws("t", i))),
        "generator": (model, lambda i: model.loss(model.tokenizer.encode(x), batch, Draws("g", i))),
    }
    for part, losses in stages.values():
        optimiser = torch.optim.AdamW([p for p in part.parameters() if p.requires_grad])
        before = [p.detach().clone() for p in part.parameters()]
        for index in range(2):
            loss = losses(index)["loss"]
            assert torch.isfinite(loss)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert any(not torch.equal(a, b) for a, b in zip(before, part.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_builds(name):
    """Without memory for its weights."""
    composed = compose(name)
    with torch.device("meta"):
        assemble_model(composed, assemble_data(composed).spec)
