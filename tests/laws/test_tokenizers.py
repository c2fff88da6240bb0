"""The laws of tokenizers, over every card, in one, two and three dimensions; and what only some of them promise."""

import pytest
import torch

from hybridgen.laws.tokenizers import TOKENIZER_LAWS, started
from hybridgen.laws.toy import data, examples
from tests.laws.tiny import PYRAMID, build, cards

PHI = [("pyramid", [*PYRAMID, f"phi={kind}"]) for kind in ("blend", "none")]
OBLONG = ["scales=[[1, 2], [2, 3], [3, 4]]", *PYRAMID[1:]]


def made(card, options, dims):
    torch.manual_seed(0)
    return build("tokenizer", card, options, {"data": data(dims)})


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("card", "options"), [*cards("tokenizer"), *PHI], ids=lambda value: str(value)[-20:])
def test_laws(card, options, dims):
    x = examples(data(dims), 5)
    for law in TOKENIZER_LAWS:
        with torch.random.fork_rng(devices=[]):
            tokenizer = made(card, options, dims)
        law(tokenizer, x)
