import pytest, torch
from hybridgen.backbones.causal import CausalBackbone
from hybridgen.backbones.none import NoBackbone
from hybridgen.laws.backbones import BACKBONE_LAWS
from hybridgen.laws.toy import pyramid, plain
S = dict(width=12, depth=2, heads=2, mlp_ratio=2.0)
K = {
 "view": (CausalBackbone, pyramid, {**S}), "sincos": (CausalBackbone, pyramid, {**S, "places": "sincos", "levels": "resolution", "qk_norm": True}),
 "cross": (CausalBackbone, pyramid, {**S, "cross": True}), "vectors": (CausalBackbone, plain, {**S, "reads": "vectors"}),
 "codes": (CausalBackbone, plain, {**S, "reads": "codes"}),
 "viewplain": (CausalBackbone, plain, {**S}),
 "none": (NoBackbone, pyramid, {"width": 12})}
@pytest.mark.parametrize("law", BACKBONE_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dims", [1,2,3])
@pytest.mark.parametrize(("kind", "tokens", "options"), K.values(), ids=K.keys())
def test_law(kind, tokens, options, dims, law):
    torch.manual_seed(0)
    law(kind(tokens(dims), **options), tokens(dims))
