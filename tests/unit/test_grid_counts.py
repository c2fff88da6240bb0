"""Parameters of the published models of whole latents: exactly the official counts, frozen positions among them."""

import pytest
import torch

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.config.compose import compose

COUNTS = {"s": 32_963_360, "b": 130_512_416, "l": 458_102_816, "xl": 675_129_632}


@pytest.mark.parametrize("family", ["dit", "sit"])
@pytest.mark.parametrize("size", COUNTS)
def test_count(family, size):
    composed = compose(f"published/{family}_{size}_2")
    with torch.device("meta"):
        model = assemble_model(composed, assemble_data(composed).spec)
    assert (
        sum(p.numel() for part in (model.conditioner, model.residual_head) for p in part.parameters()) == COUNTS[size]
    )
    assert [*model.backbone.parameters(), *model.join.parameters()] == []
