"""Networks around a latent: built from settings, checked when named, the light ones the default."""

import pytest
import torch

from hybridgen.config.compose import compose
from hybridgen.nn.conv import LightNetwork
from hybridgen.nn.normed_conv import NormedNetwork
from hybridgen.system.errors import UserError, UserErrors
from tests.laws.tiny import PYRAMID, build, data, model

TINY = NormedNetwork(base=4, multipliers=(1, 2, 3), groups=2, encoder_blocks=1, decoder_blocks=1)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("pad", ["end", "both"])
def test_grids(dims, pad):
    """Halving is exact whichever side is padded, and doubling undoes it."""
    net = NormedNetwork(base=2, multipliers=(1, 2, 1), groups=1, encoder_blocks=1, decoder_blocks=1, pad=pad)
    size = (8, 12, 4)[:dims]
    latent = net.encoder(3, dims, 5)(torch.zeros(2, 3, *size))
    assert latent.shape == (2, 5, *net.grid(size))
    assert net.decoder(3, dims, 5)(latent).shape == (2, 3, *size)


def test_levels_count_alike():
    """Level i of the decoder works on the grid of the encoder's level i."""
    encoder, decoder = TINY.encoder(1, 2, 3), TINY.decoder(1, 2, 3)
    widths = [[level.blocks[-1].second.out_channels for level in part.levels] for part in (encoder, decoder)]
    assert widths == [[4, 8, 12], [4, 8, 12]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": 3}, "groups: 3 does not divide 4 x 1 channels"),
        ({"decoder_multipliers": (1, 2)}, "decoder_multipliers: 2 levels, but the encoder has 3"),
        ({"encoder_attention": (3,)}, "levels are 0 to 2"),
        ({"multipliers": ()}, "at least one level"),
    ],
)
def test_settings_are_checked(settings, message):
    given = {"base": 4, "multipliers": (1, 2, 3), "groups": 2} | settings
    with pytest.raises(UserError, match=message):
        NormedNetwork(**given)


def test_a_size_that_does_not_divide():
    with pytest.raises(UserError, match=r"halves each side 2 times, and 4 does not divide \(8, 6\)"):
        TINY.grid((8, 6))


def test_mistakes_say_where():
    with pytest.raises(UserErrors, match=r"unknown option 'bse' of card normed. Did you mean 'base'"):
        compose("base", ["model.tokenizer.net=normed", "model.tokenizer.net.bse=3"])
    with pytest.raises(UserErrors, match="unknown card 'normd'"):
        compose("base", ["model.tokenizer.net=normd"])


def test_the_default_is_the_light_network():
    """To the bit, whether it is named or only its numbers are given."""
    built = []
    for options in (PYRAMID, ["net=light", *PYRAMID]):
        torch.manual_seed(0)
        built.append(build("tokenizer", "hybrid", options, {"data": data(2)}))
    first, second = (part.state_dict() for part in built)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert LightNetwork().halvings == 2


def test_a_residual_needs_its_latent_back():
    """Where phi changes what is painted last, a residual head is refused."""
    with pytest.raises(UserError, match=r"phi\.last: always"):
        model("tokenizer.phi.last=always")
    assert model("tokenizer.phi.last=always", "residual_head=null").residual_head is None
