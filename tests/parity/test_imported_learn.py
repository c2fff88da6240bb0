"""Imported generators go on learning: a step of training is finite, and lowers the loss of the same batch."""

import pytest
import torch
from reference import Case
from replaying import generator, imported

from hybridgen.nn.draws import Draws
from hybridgen.types import Tokens

CASES = {
    "var": "var_vqvae", "var_shared_aln": "var_vqvae", "llamagen_c2i": "llamagen_vq", "llamagen_t2i": None,
    "hart_t2i": "hart_tokenizer", "hart_t2i_adaln": "hart_tokenizer",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_step_of_training(name):
    case = Case(name)
    model = imported(case, CASES[name]) if CASES[name] else generator(case)
    model.train().tokenizer.requires_grad_(False)
    with torch.no_grad():
        if "train.image" in case.ins:
            tokens = model.tokenizer.encode(case.ins["train.image"])
        else:
            tokens = Tokens(model.tokenizer.blank(2).latent, [case.ins["train.tokens"]])
    asked = case.ins.get("train.context", case.ins.get("train.cond", case.ins.get("train.label")))
    batch = {"label": asked} if asked.dim() == 1 else {"text": asked, "text_mask": torch.ones(asked.shape[:2])}
    learnt = [p for part, m in model.named_children() if part != "tokenizer" for p in m.parameters()]
    optimiser, losses = torch.optim.SGD(learnt, 1e-4), []
    for _ in range(2):
        losses.append(model.loss(tokens, batch, Draws("step"))["loss"])
        optimiser.zero_grad()
        losses[-1].backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in learnt if p.requires_grad)
        optimiser.step()
    assert losses[1] < losses[0]
