"""The laws of conditioners, over every card."""

import pytest
import torch

from hybridgen.laws.conditioners import CONDITIONER_LAWS
from tests.laws.tiny import build, cards


@pytest.mark.parametrize("law", CONDITIONER_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(
    ("card", "options"),
    [
        *cards("conditioner"),
        *(("label", options) for options in (["drop=0.1"], ["drop=1"], ["null_is=row", "drop=0.5"])),
        ("text", ["features=4", "length=3", "drop=0.5", "norm=rms", "project=mlp", "null_is=random"]),
    ],
    ids=str,
)
def test_law(card, options, law):
    torch.manual_seed(0)
    if law.__name__ == "condition_gradients_reach_all" and options == ["drop=1"]:
        return  # every label is hidden, so none is learnt
    law(build("conditioner", card, options, {"classes": 3, "width": 8}), 3, 8)


def test_labels_differ():
    conditioner = build("conditioner", "label", ["drop=0.1"], {"classes": 3, "width": 8})
    told = conditioner({"label": torch.arange(3)}, None).vector
    assert torch.pdist(told).min() > 1e-3
