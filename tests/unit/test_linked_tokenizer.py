"""A run that is resumed goes on with the tokenizer that it began with, or not at all."""

import pytest

from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.training.linked_tokenizer import linked_tokenizer

KEY = {
    "format": 1,
    "data": {"card": "folder", "size": 28, "fingerprint": "abc"},
    "tokenizer": {"card": "pyramid", "scales": [1, 2]},
    "training": {"steps": 4, "betas": (0.9, 0.95)},
    "seed": 0,
    "precision": "fp32",
}


@pytest.fixture
def run(tmp_path):
    """A run with its tokenizer."""
    begun = Run.create(tmp_path, "demo", {"seed": 0}, {})
    begun.link("tokenizer", Run.at(tmp_path / "tokenizers/aa", KEY, {}))
    return begun


def test_a_new_run_has_none(tmp_path):
    assert linked_tokenizer(Run.create(tmp_path, "demo", {}, {}), KEY, "aa") is None


def test_an_option_that_is_new_since_then_changes_nothing(run):
    key = KEY | {"tokenizer": KEY["tokenizer"] | {"new": 1}, "more": 2}
    assert linked_tokenizer(run, KEY, "aa") == linked_tokenizer(run, key, "bb") == run.root / "tokenizers/aa"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"data": KEY["data"] | {"fingerprint": "def"}},
            'was "abc", is "def" (the data have changed)',
        ),
        ({"precision": "bf16"}, 'precision: was "fp32", is "bf16"'),
        ({"tokenizer": KEY["tokenizer"] | {"scales": [1]}}, "model.tokenizer.scales: was [1, 2], is [1]"),
        ({"training": None}, "train.tokenizer: was {"),
    ],
)
def test_a_change_is_refused_and_named(run, change, said):
    with pytest.raises(UserError) as caught:
        linked_tokenizer(run, KEY | change, "bb")
    assert said in str(caught.value)
    assert "put it back as it was, or train anew: hybridgen train demo" in str(caught.value)


def test_a_tokenizer_that_is_gone(run):
    (run.root / "tokenizers/aa/config.yaml").unlink()
    with pytest.raises(UserError, match="is not there"):
        linked_tokenizer(run, KEY | {"seed": 1}, "bb")
