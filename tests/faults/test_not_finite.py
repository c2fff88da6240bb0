"""Numbers that are none: refused in weights from outside, and never written as a sample."""

import pytest
import torch
from tiny_published import write_run

from hybridgen.generate.requests import whole_numbers
from hybridgen.generate.trained import NotFiniteError, load
from hybridgen.runs.weights import check_finite
from hybridgen.system.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny model of codes alone."""
    return write_run(tmp_path_factory.mktemp("codes") / "run", "layout_var", "data.classes=10")


def test_weights_are_named_and_counted():
    check_finite("x.pth", {"a": torch.ones(3), "codes": torch.ones(2, dtype=torch.long)})
    with pytest.raises(UserError, match=r"x\.pth: b: 2 of 3 values are NaN or infinite"):
        check_finite("x.pth", {"a": torch.ones(3), "b": torch.tensor([torch.nan, 1, torch.inf])})


def test_a_draw_that_overflows_is_an_error(run):
    trained = load(run)
    with torch.no_grad():
        for parameter in trained.model.code_head.parameters():
            parameter.mul_(torch.inf)
    with pytest.raises(NotFiniteError, match="NaN or infinite"):
        trained.sample([1], seed=3)


def test_a_sample_that_is_not_finite_names_its_seed(run, monkeypatch):
    trained = load(run)
    drawn = trained.model.sample

    def broken(condition, seeds, *rest):
        x = drawn(condition, seeds, *rest)
        x[-1, 0, 0] = torch.nan
        return x

    monkeypatch.setattr(trained.model, "sample", broken)
    with pytest.raises(NotFiniteError, match=r"the sample of seed 8 has \d+ of \d+ values"):
        trained.sample([1, 2], seed=7)


@pytest.mark.parametrize("given", ["35", [1.9], ["1"], [True], torch.tensor([1.0]), 3, [None]])
def test_classes_from_python_are_whole_numbers(given):
    """1.9 is not class 1, and a text does not stand for its digits."""
    with pytest.raises(UserError, match=r"labels: .* is not a (list of )?whole number"):
        whole_numbers(given, "labels")


@pytest.mark.parametrize("given", [[3, 5], (3, 5), torch.tensor([3, 5]), torch.tensor([3, 5]).numpy(), range(3, 6, 2)])
def test_whole_numbers_of_any_library_are_taken(given):
    assert whole_numbers(given, "labels") == [3, 5]


def test_one_text_is_no_list_of_prompts(run):
    with pytest.raises(UserError, match="prompts: 'a fox' is one text"):
        load(run).sample(prompts="a fox")
