"""The published tokenizers at full size, without memory for their weights: counts, and names there and back."""

import pytest
import torch
from torch import nn

from hybridgen.assemble import assemble_part
from hybridgen.config.compose import compose
from hybridgen.evaluation.cost import macs
from hybridgen.nn.normed_conv import NormedDecoder, NormedEncoder
from hybridgen.published import kl16, llamagen_vq, multiscale_vq, sd_vae
from hybridgen.published.families import recognise
from hybridgen.published.reading import locate, read
from hybridgen.published.unwrapping import unwrap
from hybridgen.types import DataSpec
from tests.parity.reference import reference_folder

# card: parameters, side of the grid and multiply-accumulates of the decoder at 256 pixels, key map
PUBLISHED = {
    "multiscale_vq_ch160_v4096": (108_948_355, 16, 196.9e9, multiscale_vq.KEYS),
    "hybrid_vq_ch160_v4096": (108_948_355, 16, 196.9e9, multiscale_vq.KEYS),
    "kl16": (66_456_019, 16, 125e9, kl16.KEYS),
    "vq16": (71_883_403, 16, 126e9, llamagen_vq.keys(5)),
    "vq8": (70_109_835, 32, 237e9, llamagen_vq.keys(4)),
    "sd_vae": (83_653_863, 32, 311e9, sd_vae.KEYS),
}


@pytest.fixture(scope="module", params=PUBLISHED)
def card(request):
    composed = compose("base", [f"model.tokenizer={request.param}"])
    with torch.device("meta"):
        tokenizer = assemble_part(composed, "model.tokenizer", {"data": DataSpec(3, (256, 256))})
    return request.param, tokenizer


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_counts(card):
    name, tokenizer = card
    parameters, side, _, _ = PUBLISHED[name]
    assert count(tokenizer) == parameters
    assert tokenizer.spec.grid == (side, side)


def test_cost_of_decoding(card):
    name, tokenizer = card
    latent = torch.zeros(1, tokenizer.spec.channels, *tokenizer.spec.grid, device="meta")
    assert macs(lambda: tokenizer.decoder(latent)) == pytest.approx(PUBLISHED[name][2], rel=0.01)


def test_names_go_round(card):
    """Every tensor of ours has an official name, and the map takes a file of these names to exactly our tensors."""
    name, tokenizer = card
    keys = PUBLISHED[name][3]
    ours = {f"tokenizer.{k}": v for k, v in tokenizer.state_dict().items()}
    official = {}
    for own, value in ours.items():
        names = keys.official(own)
        assert names, own
        official |= dict(zip(names, value.chunk(len(names)), strict=True))
    family, named = recognise(official)
    assert family == keys
    mapped = family.apply(named)
    assert {k: v.shape for k, v in mapped.tensors.items()} == {k: v.shape for k, v in ours.items()}
    assert not mapped.unknown + mapped.missing
    assert not mapped.ignored


DIFFUSERS = {
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "encoder.down_blocks.0.resnets.1.norm1.weight": (128,),
    "encoder.down_blocks.1.resnets.0.conv_shortcut.weight": (256, 128, 1, 1),
    "encoder.down_blocks.2.downsamplers.0.conv.weight": (512, 512, 3, 3),
    "encoder.mid_block.resnets.1.conv2.weight": (512, 512, 3, 3),
    "encoder.conv_norm_out.bias": (512,),
    "decoder.up_blocks.0.resnets.2.conv1.weight": (512, 512, 3, 3),
    "decoder.up_blocks.2.resnets.0.conv_shortcut.weight": (256, 512, 1, 1),
    "decoder.up_blocks.2.upsamplers.0.conv.bias": (256,),
    "decoder.up_blocks.3.resnets.0.conv_shortcut.weight": (128, 256, 1, 1),
    "decoder.conv_out.weight": (3, 128, 3, 3),
    "quant_conv.weight": (8, 8, 1, 1),
    "post_quant_conv.bias": (4,),
}


@pytest.mark.parametrize("attention", [("to_q", "to_k", "to_v", "to_out.0"), ("query", "key", "value", "proj_attn")])
def test_the_layout_of_diffusers(attention):
    """Names and shapes as they stand in its files, which have linear layers in their attention; two releases."""
    composed = compose("base", ["model.tokenizer=sd_vae"])
    with torch.device("meta"):
        tokenizer = assemble_part(composed, "model.tokenizer", {"data": DataSpec(3, (256, 256))})
        linear = {f"decoder.mid_block.attentions.0.{name}.weight": (512, 512) for name in attention}
        mapped = sd_vae.KEYS.apply({name: torch.empty(shape) for name, shape in (DIFFUSERS | linear).items()})
    ours = {f"tokenizer.{k}": tuple(v.shape) for k, v in tokenizer.state_dict().items()}
    assert not mapped.unknown + mapped.missing
    assert {k: tuple(v.shape) for k, v in mapped.tensors.items()}.items() <= ours.items()


def test_counts_of_the_halves():
    """Stable Diffusion's, as its own classes count: encoder, decoder, and the convolutions next to the latent."""
    composed = compose("base", ["model.tokenizer=sd_vae"])
    with torch.device("meta"):
        tokenizer = assemble_part(composed, "model.tokenizer", {"data": DataSpec(3, (256, 256))})
    assert isinstance(tokenizer.encoder, NormedEncoder)
    assert isinstance(tokenizer.decoder, NormedDecoder)
    mixes: list[nn.Module] = [tokenizer.encoder.mix, tokenizer.decoder.mix]
    assert [count(mix) for mix in mixes] == [72, 20]
    assert [count(tokenizer.encoder) - 72, count(tokenizer.decoder) - 20] == [34_163_592, 49_490_179]


@pytest.mark.parametrize(
    ("file", "family", "reasons"),
    [
        ("hart_release/tokenizer", "multi-scale vq", {"how often codes": 1, "the discriminator": 2}),
        ("mar_checkpoint_last/kl_tiny.ckpt", "kl autoencoder", {"losses of the training": 2}),
    ],
)
def test_published_layouts_are_known(file, family, reasons):
    """What lies in a release beside the tokenizer is left out, each with its reason."""
    (path,) = locate(str(reference_folder() / "checkpoints" / file))
    (found,) = unwrap(read(path))
    keys, named = recognise(found.tensors)
    mapped = keys.apply(named)
    assert keys.family == family
    assert not mapped.unknown + mapped.missing
    left = list(mapped.ignored.values())
    assert {start: sum(reason.startswith(start) for reason in left) for start in reasons} == reasons
    assert len(left) == sum(reasons.values())
