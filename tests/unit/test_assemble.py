"""Parts from cards: built in data-flow order, each given what it asks of its neighbours."""

import pytest

from hybridgen.assemble import assemble_data, assemble_model, assemble_part, assemble_sampler, assemble_settings
from hybridgen.config.compose import compose
from hybridgen.config.schema import Experiment
from hybridgen.diffusion.solvers import Heun
from hybridgen.system.errors import UserError
from hybridgen.types import DataSpec

DATA = DataSpec(1, (28, 28), ("a", "b", "c"))
SMALL = ["model.backbone.width=32", "model.backbone.depth=1", "model.backbone.heads=2"]
OWN_HEAD = """
from hybridgen.heads.flow import FlowHead

class Mine(FlowHead):
    def __init__(self, {neighbours}, *, depth: int = 1) -> None:
        super().__init__(tokens, width, depth=depth)
"""


@pytest.fixture
def own_head(tmp_path):
    """An experiment with a head of the user's in a file beside it."""

    def put(neighbours):
        (tmp_path / "part.py").write_text(OWN_HEAD.format(neighbours=neighbours))
        path = tmp_path / "mine.yaml"
        path.write_text("extends: base\nmodel:\n  residual_head: {card: './part.py:Mine', depth: 2}\n")
        return str(path)

    return put


def test_every_part_gets_what_it_asks_for():
    composed = compose("base", SMALL)
    model = assemble_model(composed, DATA)
    assert model.backbone.width == 32
    assert model.code_head is not None
    assert model.code_head.out.out_features == model.tokenizer.spec.vocab
    assert type(assemble_data(composed)).__name__ == "Embedded"


def test_null_leaves_a_head_out():
    assert assemble_model(compose("base", [*SMALL, "model.residual_head=null"]), DATA).residual_head is None


def test_lists_become_tuples_and_parts_are_built():
    sampler = assemble_sampler(compose("base", ["sampler.guidance=[1, 2]", "sampler.solver=heun"]))
    assert sampler.guidance == (1.0, 2.0)
    assert isinstance(sampler.solver, Heun)


def test_settings():
    composed = compose("base", ["train.tokenizer=null", "train.generator.steps=7", "freeze=[model.backbone]"])
    assert assemble_settings(composed, "train.generator").steps == 7
    assert assemble_settings(composed, "train.tokenizer") is None
    assert assemble_settings(composed, "") == Experiment(freeze=("model.backbone",))


def test_a_head_in_one_file_beside_the_experiment(own_head, capsys):
    model = assemble_model(compose(own_head("tokens, width"), SMALL), DATA)
    assert type(model.residual_head).__name__ == "Mine"
    assert "importing" in capsys.readouterr().err


def test_an_unknown_neighbour_is_told(own_head):
    path = own_head("tokens, width, weather")
    with pytest.raises(UserError) as caught:
        assemble_model(compose(path, SMALL), DATA)
    assert f"{path}:3: model.residual_head: ./part.py:Mine asks for 'weather'" in str(caught.value)
    assert "known: classes, condition_width, data, tokens, width" in str(caught.value)


def test_misfit_neighbours_name_the_place():
    composed = compose("base", [*SMALL, "model.tokenizer=continuous"])
    with pytest.raises(UserError, match=r"base\.yaml:12: model\.code_head: .*no codes.*model\.code_head=null"):
        assemble_model(composed, DATA)


def test_a_part_by_itself():
    solver = assemble_part(compose("base", ["sampler.solver=heun"]), "sampler.solver", slot="solver")
    assert isinstance(solver, Heun)
