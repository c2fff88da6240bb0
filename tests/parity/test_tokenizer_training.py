"""Imported tokenizers go on learning: a few steps on the case's pictures lower their loss."""

import pytest
import torch

from hybridgen.nn.draws import Draws
from tests.parity.reference import Case
from tests.parity.tokenizer_cases import tokenizer_of


@pytest.mark.slow
@pytest.mark.parametrize("name", ["var_vqvae", "hart_tokenizer", "mar_vae", "llamagen_vq"])
def test_an_imported_tokenizer_learns(name):
    case = Case(name)
    tokenizer = tokenizer_of(case).train().requires_grad_(True)
    tokenizer.schedule(0.0)
    optimiser, losses = torch.optim.SGD(tokenizer.parameters(), lr=1e-3), []
    for _ in range(3):
        loss = tokenizer.loss(case.ins["image"], Draws("the same each step"))["loss"]
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0], losses
    reached = [n for n, p in tokenizer.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert any(n.startswith("encoder") for n in reached)
    assert any(n.startswith("decoder") for n in reached)
    assert ("quantizer.codebook.weight" in reached) is (name != "mar_vae")
