"""The ways of a block that published transformers differ in: widths inside, biases, one norm, tables, pools."""

import pytest
import torch

from hybridgen.nn.adaln import ModulationTable
from hybridgen.nn.attention import Attention
from hybridgen.nn.block import Block, BlockStyle
from hybridgen.nn.draws import keyed
from hybridgen.nn.mlp import make_mlp
from hybridgen.nn.pool import pooled
from hybridgen.types import Condition


def normal(name, *shape):
    return torch.randn(*shape, generator=keyed(name))


@pytest.mark.parametrize(("width", "inner"), [(768, 2048), (1024, 2816), (1280, 3584), (1536, 4096), (3200, 8704)])
def test_gated_widths(width, inner):
    """Two thirds of 4 D, rounded up to a multiple of 256 (LlamaGen, table 1; HART)."""
    with torch.device("meta"):
        assert make_mlp("swiglu", width, 4.0, 256).out.in_features == inner


def test_keys_without_bias():
    attention = Attention(8, 2, biases="no_key")
    assert attention.bias.shape == (2, 8)
    torch.nn.init.normal_(attention.bias, generator=keyed("bias"))
    q, k, v = attention._projected(torch.zeros(1, 1, 8)).chunk(3, -1)
    assert torch.equal(q[0, 0], attention.bias[0])
    assert k.count_nonzero() == 0
    assert torch.equal(v[0, 0], attention.bias[1])


def test_one_norm_serves_both():
    style = BlockStyle(norm="rms", norm_gain=True, one_norm=True)
    names = [name for name, _ in Block(8, 2, condition="table", style=style).named_parameters() if "norm" in name]
    assert names == ["norm_attention.weight"]


def test_modulations_made_once_are_the_same():
    block, x, context = Block(8, 2), normal("x", 2, 3, 8), normal("context", 2, 8)
    torch.nn.init.normal_(block.modulation.linear.weight, generator=keyed("w"))
    assert torch.equal(block(x, context), block(x, block.modulate(context[:, None])))


def test_a_table_is_added():
    table = ModulationTable(4, 2)
    torch.nn.init.normal_(table.table, generator=keyed("table"))
    first, second = table((torch.zeros(3, 1, 4), torch.ones(3, 1, 4)))
    assert torch.equal(first, table.table[0].expand(3, 1, 4))
    assert torch.equal(second, (table.table[1] + 1).expand(3, 1, 4))


def test_pools():
    tokens = torch.tensor([[[1.0], [3.0], [9.0]]])
    given = Condition(tokens=tokens, mask=torch.tensor([[True, True, False]]))
    assert [pooled(given, how).item() for how in ("given", "mean", "max")] == [3.0, 2.0, 9.0]
    assert pooled(Condition(vector=torch.ones(1, 1)), "mean").item() == 1.0
