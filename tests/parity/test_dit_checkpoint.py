"""A training checkpoint of DiT, of which sampling takes the averaged weights, and a plain file of the same."""

import pytest
import torch
from reference import reference_folder
from safetensors.torch import load_file

from hybridgen.config.compose import compose
from hybridgen.nn.draws import Draws
from hybridgen.nn.positions import to_grid, to_sequence
from hybridgen.published.importer import filled, match

SIZE = [
    "data.channels=4", "data.size=[4,4]", "data.classes=5", "data.names=numbers", "model.tokenizer=patch",
    "model.tokenizer.patch=1", "model.backbone.width=32", "model.residual_head.head_width=32",
    "model.residual_head.depth=1", "model.residual_head.heads=2", "model.residual_head.mlp_ratio=2.0",
]  # fmt: skip


@pytest.mark.parametrize("file", ["0000100.pt", "published_plain.pt"])
def test_checkpoint(file):
    folder = reference_folder() / "checkpoints/dit_train_pt"
    stored, composed = load_file(folder / "expect.safetensors"), compose("published/dit_xl_2", SIZE)
    model = filled(composed, match(composed, [str(folder / file)]))
    condition = model.conditioner({"label": stored["in.y"]}, None)
    t = ((stored["in.t"] + 1) / 1000)[:, None].expand(-1, 16)
    with torch.no_grad():
        told = model.backbone(model.tokenizer.blank(2), {}, model.order.training(2, Draws("unused")), condition)
        ours = model.residual_head.net(to_sequence(stored["in.x"]), t, told, (4, 4))
    expected = stored["out.ema"]
    torch.testing.assert_close(to_grid(ours, (4, 4)), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
