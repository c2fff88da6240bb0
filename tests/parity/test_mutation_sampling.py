"""Each option of samplers, orders, joins, conditioners and masked backbones is felt: another value fails.

Heads and solvers, causal backbones and tokenizers have theirs in test_mutation_heads, test_generator_options and with
each tokenizer's case. Here, too, an option that changes what weights there are fails on import.
"""

from dataclasses import replace
from functools import cache

import pytest
import test_hart
import test_hart_text
import test_llamagen
import test_mar
import test_var
from reference import Case, reference_folder
from replaying import generator, imported

from hybridgen.system.errors import UserError

CASES = {"var": "var_vqvae", "llamagen_c2i": "llamagen_vq", "hart_t2i": "hart_tokenizer"}
RUNS = [
    (test_var, "var", "gen_greedy", ["guidance=4.0", "ramp=constant", "temperature=1.0"]),
    (test_var, "var", "gen_uniform", ["top_k=0", "top_p=1.0"]),
    (test_var, "var", "gen_given_smooth", ["mix=0.2", "mix=0", "mix_gain=1.0"]),
    (test_llamagen, "llamagen_c2i", "gen_uniform", ["guidance=2.0", "temperature=1.0", "top_k=0", "top_p=1.0"]),
    (
        test_hart, "hart_t2i", "gen_greedy",
        ["head_guidance=1.0", "head_temperature=0.5", "solver.variance=large", "top_k=600", "guidance=5.5"],
    ),
    (test_hart, "hart_t2i", "gen_given_smooth", ["mix_tells=mixture"]),
    (test_hart, "hart_t2i", "gen_discrete", ["top_p=1.0"]),
]  # fmt: skip
SETTINGS = [(module, name, run, setting) for module, name, run, settings in RUNS for setting in settings]
REFUSED = [
    ("mar", "backbone.out_places=false"), ("mar", "backbone.norm_places=false"), ("mar", "backbone.sees=all"),
    ("mar", "backbone.buffer=4"), ("mar", "backbone.encoder_width=48"), ("mar", "backbone.encoder_depth=1"),
    ("mar", "conditioner.null_is=row"), ("mar", "residual_head.depth=1"),
    ("hart_t2i", "conditioner.project=mlp"), ("hart_t2i", "join=add"), ("hart_t2i", "backbone.block.mlp_multiple=96"),
    ("llamagen_c2i", "code_head.bias=true"), ("llamagen_c2i", "backbone.embeds=true"),
    ("llamagen_c2i", "backbone.reads=vectors"), ("llamagen_c2i", "backbone.mlp_ratio=5.0"),
    ("llamagen_c2i", "conditioner.null_is=vector"),
]  # fmt: skip
TRAINED = ["residual_top_k=300", "residual_top_p=1.0", "order.keep_at_least=1"]
SETS = {
    "gen_linear": [{"ramp": "constant"}, {"guidance": 2.0}, {"sets": 4}, {"head_steps": 5}],
    "gen_constant": [{"ramp": "known"}, {"ramp": "linear"}],
}


@pytest.fixture(autouse=True)
def whole():
    """A golden leaves out what some options change."""
    reference_folder()


def built(name, *overrides):
    """A case, and its model with other options."""
    case, others = Case(name), [CASES[name]] if name in CASES else []
    return case, imported(case, *others, overrides=[f"model.{override}" for override in overrides])


as_published = cache(built)  # runs change nothing of a model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "run", "setting"), SETTINGS, ids=lambda value: getattr(value, "__name__", value)
)
def test_settings_of_a_run(monkeypatch, module, name, run, setting):
    case, model = as_published(name)
    if module is test_hart:
        guidance, settings = test_hart.RUNS[run]
        monkeypatch.setitem(test_hart.RUNS, run, (guidance, [*settings, setting]))
    else:
        monkeypatch.setitem(module.RUNS, (name, run), [*module.RUNS[name, run], setting])
    with pytest.raises(AssertionError):
        module.check_run(case, model, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "change"), [(run, change) for run, changes in SETS.items() for change in changes], ids=str
)
def test_settings_of_sets(monkeypatch, run, change):
    case = Case("mar")
    monkeypatch.setitem(test_mar.GENERATIONS, run, replace(test_mar.GENERATIONS[run], **change))
    with pytest.raises((AssertionError, KeyError, RuntimeError)):
        test_mar.test_generation(case, test_mar.imported(case), run)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "override"), REFUSED)
def test_weights_do_not_fit(name, override):
    with pytest.raises(UserError):
        built(name, override)


@pytest.mark.slow
@pytest.mark.parametrize("override", TRAINED)
def test_what_training_pairs(override):
    case, model = built("hart_t2i", override)
    with pytest.raises(AssertionError):
        test_hart.test_training(case, model)


@pytest.mark.slow
@pytest.mark.parametrize("override", ["order.patch=[]", "order.visits=last"])
def test_what_is_due_when(override):
    name = "llamagen_c2i" if "patch" in override else "var"
    case, model = built(name, override)
    module, run = (test_llamagen, "gen_nocfg") if "patch" in override else (test_var, "gen_greedy")
    with pytest.raises((AssertionError, RuntimeError, UserError)):
        module.check_run(case, model, run)


def test_copies_of_a_training_row():
    """The table's `draws`."""
    case = Case("mar")
    model = test_mar.imported(case, "model.draws=4")
    with pytest.raises((AssertionError, RuntimeError, TypeError)):
        test_mar.test_teacher_forced(case, model, "train", True)


@pytest.mark.slow
@pytest.mark.parametrize("override", ["null_mask=all", "null_is=zeros", "project=linear", "length=100"])
def test_text_of_llamagen(override):
    """Its null is given with the weights; of its mask nothing but that of the row itself reproduces the run."""
    case = Case("llamagen_t2i")
    with pytest.raises((AssertionError, RuntimeError)):
        test_llamagen.check_run(case, generator(case, f"model.conditioner.{override}"), "gen_greedy")


def test_the_system_prompt(tmp_path_factory):
    """Left out, the same prompts have other vectors."""
    case = Case("hart_text")
    net = test_hart_text.net.__wrapped__(case, tmp_path_factory)
    case.about["system_prompt"] = ""
    with pytest.raises(AssertionError):
        test_hart_text.test_prompts(case, net, "system", True)
