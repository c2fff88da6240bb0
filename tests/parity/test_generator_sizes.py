"""Parameters of the published generators with a backbone: the official numbers, counted without memory."""

import pytest
import torch

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose

GENERATORS = {
    "var_d16": 310_283_520, "var_d20": 600_917_136, "var_d24": 1_033_399_360, "var_d30": 2_010_020_356,
    "var_d36": 2_353_893_904, "hart_0.7b": 732_620_928, "hart_0.7b_512": 732_620_928, "hart_0.7b_256": 732_620_928,
    "hart_d20": 649_377_488, "llamagen_b": 110_888_448, "llamagen_l": 342_910_976, "llamagen_xl": 774_699_520,
    "llamagen_xxl": 1_410_972_672, "llamagen_3b": 3_096_659_200, "llamagen_t2i_xl": 777_678_080,
    "mar_b": 207_924_768, "mar_l": 478_326_304, "mar_h": 942_403_104,
}  # fmt: skip


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_parameters(name):
    """All but the tokenizer's, as the official code counts."""
    composed = compose(f"published/{name}", [])
    with torch.device("meta"):
        model = assemble_model(composed, assemble_data(composed).spec)
    assert parameters(model) - parameters(model.tokenizer) == GENERATORS[name]
    if name == "hart_0.7b":
        assert parameters(model.residual_head) == 36_585_536
