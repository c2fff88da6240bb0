"""Attention and the block: both kernels agree, a cache equals a mask, what is masked is not read."""

import pytest
import torch

from hybridgen.nn import attention
from hybridgen.nn.attention import Attention, KeyValues, attend
from hybridgen.nn.block import Block, BlockStyle
from hybridgen.nn.draws import keyed


def normal(name, *shape):
    return torch.randn(*shape, generator=keyed(name))


def stirred(module):
    rng = keyed("stirred")
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=rng)
    return module.eval()


@pytest.mark.parametrize("masked", ["none", "boolean", "additive"])
def test_plain_and_fused_attention_agree(monkeypatch, masked):
    q, k, v = normal("q", 2, 3, 5, 4), normal("k", 2, 3, 7, 4), normal("v", 2, 3, 7, 4)
    seen = torch.rand(5, 7, generator=keyed("mask")) < 0.6
    seen[0] = False  # a row that sees nothing is not NaN
    bias = {"none": None, "boolean": seen, "additive": normal("bias", 5, 7)}[masked]
    plain = attend(q, k, v, bias)
    monkeypatch.setattr(attention, "_SMALL", 0)
    fused = attend(q, k, v, bias)
    assert plain.isfinite().all()
    torch.testing.assert_close(plain, fused, rtol=1e-5, atol=1e-5)


def test_softmax_by_hand():
    q = k = torch.eye(2)[None, None]
    v = torch.tensor([[1.0, 5.0], [0.0, 5.0]])[None, None]
    expected = torch.tensor(1.0).exp() / (1 + torch.tensor(1.0).exp())
    torch.testing.assert_close(attend(q, k, v, scale=1.0)[0, 0, :, 0], torch.stack([expected, 1 - expected]))


@pytest.mark.parametrize("condition", ["adaln", "none"])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_a_cache_equals_a_mask(condition, qk_norm):
    """Two steps of 2 and 3 positions, one after the other or at once with a block-causal mask."""
    block = stirred(Block(8, 2, condition=condition, style=BlockStyle(qk_norm=qk_norm)))
    x, context = normal("x", 3, 5, 8), normal("context", 3, 8) if condition == "adaln" else None
    step = torch.tensor([0, 0, 1, 1, 1])
    whole = block(x, context, step[:, None] >= step)
    cache = KeyValues()
    parts = [block(part, context, None, cache) for part in (x[:, :2], x[:, 2:])]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)


def test_masked_tokens_are_not_read():
    block = stirred(Block(8, 2, condition="none", cross=True))
    x, tokens = normal("x", 2, 4, 8), normal("tokens", 2, 3, 8)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    changed = torch.where(mask[..., None], tokens, 9.0)
    out = block(x, tokens=tokens, tokens_mask=mask)
    torch.testing.assert_close(block(x, tokens=changed, tokens_mask=mask), out)
    assert not torch.allclose(block(x, tokens=tokens), out)
    assert not torch.allclose(block(x), out)


def test_a_modulated_block_begins_as_the_identity():
    x = normal("x", 2, 4, 8)
    assert torch.equal(Block(8, 2)(x, normal("context", 2, 8)), x)


def test_unit_queries_and_keys_ignore_their_length():
    layer = stirred(Attention(8, 2, qk_norm=True))
    x, before = normal("x", 2, 4, 8), None
    before = layer(x)
    with torch.no_grad():
        layer.project.weight[:16] *= 3
        layer.project.bias[:16] *= 3
    torch.testing.assert_close(layer(x), before)
