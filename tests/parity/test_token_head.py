"""The head per token of HART and of MAR by itself: single calls, the rows of its loss, whole draws."""

import pytest
from reference import Case
from token_heads import ENTRIES, check_draw, check_network, check_rows, check_step

from hybridgen.assemble import assemble_part
from hybridgen.config.compose import compose
from hybridgen.published.keymap import KeyMap
from hybridgen.published.token_head import token_head
from hybridgen.types import TokenSpec

CASES = {
    "hart_t2i": ["objective.clip=1.0", "normalise=constant", "mlp_width=64", "depth=2"],
    "hart_t2i_adaln": ["objective.clip=1.0", "normalise=constant", "mlp_width=32", "depth=1"],
    "mar": ["objective.clip=0.0", "normalise=none", "mlp_width=64", "depth=2"],
}
DRAWS = {  # steps, guidance (ours is 1 more than HART's) and temperature; None: each row by itself
    "hart_t2i": {"sample.cfg2.5": (8, 3.5), "sample.cfg0": (8, 1.0), "sample.cfg1_unguided": (8, None)},
    "hart_t2i_adaln": {"sample.cfg2.5": (10, 3.5), "sample.cfg0": (10, 1.0), "sample.cfg1_unguided": (10, None)},
    "mar": {
        "sample10.cfg1": (10, None, 0.95), "sample10.cfg2.5": (10, 2.5),
        "sample100.cfg1": (100, None, 0.95), "sample100.cfg2.5": (100, 2.5),
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return Case(request.param)


def built(case, *overrides):
    """The card of HART-0.7B's head at the case's size, with the case's weights."""
    channels, width = case.ins["head.x"].shape[1], case.ins["head.z"].shape[1]
    path, options = "model.residual_head", [*CASES[case.name], *overrides]
    composed = compose("base", [f"{path}=diffusion_hart", *(f"{path}.{option}" for option in options)])
    head = assemble_part(composed, path, {"tokens": TokenSpec((8, 8), channels, ((8, 8),), 0), "width": width})
    keys = KeyMap("head", (), token_head("diffloss"))
    mapped = keys.apply({k: v for k, v in case.weights.items() if k.startswith("diffloss.")})
    assert not mapped.unknown
    ours = {name.removeprefix("residual_head."): value for name, value in mapped.tensors.items()}
    head.load_state_dict({**ours, "mean": head.mean, "std": head.std})
    return head.eval()


@pytest.fixture(scope="module")
def head(case):
    return built(case)


@pytest.mark.parametrize("entry", ENTRIES)
def test_network(case, head, entry):
    check_network(case, head, entry, 3.0 if case.name == "mar" else 4.0)


def test_rows_of_the_loss(case, head):
    if case.name == "mar":
        target, told = case.outs["train.patchified"].flatten(0, 1), case.outs["train.z"].flatten(0, 1)
    else:
        target, told = 0.6 * case.outs["train.head_target_div_0.6"], case.outs["train.head_z"]
    times = len(case.ins["train.t"]) // len(target)  # repetitions are whole copies
    whole = check_rows(case, head, *(x.repeat(times, 1)[:, None] for x in (target, told)))
    if case.name == "mar":
        mask = case.outs["train.mask"].flatten().repeat(times)
        case.check("train.loss", (whole * mask).sum() / mask.sum())
    else:
        case.check("train.diff_loss", whole.mean())


@pytest.mark.parametrize("temperature", [1.0, 0.95])
@pytest.mark.parametrize("entry", [0, 500])
def test_one_reverse_step(case, head, entry, temperature):
    check_step(case, head, entry, temperature, 1.0 if case.name != "mar" else None)


def test_draws(case, head):
    for key, settings in DRAWS[case.name].items():
        check_draw(case, head, f"head.{key}", *settings)


def test_every_output_of_the_head_was_compared(case):
    """The rest of these cases is compared with their whole models."""
    if not case.checked:
        pytest.skip("no comparison ran before this one")
    of_the_head = {k for k in case.outs if k.startswith(("head.", "train.rows.", "train.diff_loss"))}
    print(f"{case.name}, head: {len(of_the_head & case.checked.keys())} of {len(of_the_head)} outputs compared")
    assert of_the_head <= case.checked.keys()
