"""Figures and their protocols: complete, comparable or marked, quotable."""

import json

import pytest

from hybridgen.evaluation.base import Interval
from hybridgen.evaluation.protocol import REQUIRED, SUBJECT, Figure, comparable, figure, sentence

DRAWN = {
    "kind": "drawn", "data": "fashion28", "model": "ab12", "weights": "ema", "seeds": "0-1999", "precision": "fp32",
    "sampler": {"guidance": 2.0, "head_steps": 8, "solver": "euler"}, "device": "cpu",
    "metric": "Fréchet distance (judge)", "feature": {"net": "judge of fashion_mnist", "hash": "c0ffee", "dim": 96},
    "drawn": 2000, "class_distribution": [200] * 10, "reference": "test", "reference_hash": "0f0f",
    "reference_count": 1000, "rounding": "uint8",
}  # fmt: skip
RECONSTRUCTED = {
    "kind": "reconstructed", "data": "fashion28", "model": "ab12", "weights": "ema", "precision": "fp32",
    "device": "cpu", "metric": "PSNR", "split": "test", "data_hash": "0f0f", "count": 1000, "rounding": "uint8",
}  # fmt: skip
TIMED = {
    "kind": "timed", "model": "ab12", "sampler": {"steps": 8}, "precision": "fp32", "device": "cpu", "batch": 16,
    "metric": "seconds per sample", "warm_up": 1, "repeats": 5, "threads": 2,
}  # fmt: skip
COUNTED = {"kind": "counted", "model": "ab12", "metric": "parameters"}
ALL = [DRAWN, RECONSTRUCTED, TIMED, COUNTED]


def other(value):
    return {"changed": True} if not isinstance(value, int | str) else value * 2


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p["kind"])
def test_a_missing_field_is_an_error(protocol):
    assert figure(1.0, protocol).value == 1.0
    for name in (*REQUIRED[protocol["kind"]], "kind"):
        lacking = {key: value for key, value in protocol.items() if key != name}
        with pytest.raises(ValueError, match=f"{name}.*missing"):
            figure(1.0, lacking)


@pytest.mark.parametrize("protocol", ALL, ids=lambda p: p["kind"])
def test_any_changed_field_is_noticed(protocol):
    """All but what was measured: two models may be compared, two ways of measuring may not."""
    assert comparable(protocol, dict(protocol)) == []
    for name, value in protocol.items():
        expected = [] if name in SUBJECT else [name]
        assert comparable(protocol, {**protocol, name: other(value)}) == expected
    assert comparable(protocol, {**protocol, "new": 1}) == ["new"]


def test_what_is_stored_reads_back_equal():
    """Tuples become lists once, before anything is compared."""
    measured = figure(Interval(1.5, 1.0, 2.0), {**DRAWN, "sampler": {"guidance": (1.0, 2.0)}})
    stored = json.loads(json.dumps(measured.to_json()))
    assert Figure.from_json(stored) == measured
    assert comparable(stored["protocol"], measured.protocol) == []
    assert set(stored) == {"value", "interval", "protocol"}
    assert figure(3, COUNTED).to_json()["interval"] is None


def test_the_sentence_of_drawn_pictures():
    assert sentence(DRAWN) == (
        "Fréchet distance (judge) on 96 features of judge of fashion_mnist (hash c0ffee), 2,000 samples (10 classes"
        " equally often) against 1,000 test samples of fashion28 (hash 0f0f), seeds 0-1999, EMA weights, sampler"
        " guidance 2 head_steps 8 solver euler, rounded to uint8, fp32 on cpu."
    )


def test_the_other_sentences():
    assert sentence(RECONSTRUCTED).startswith("PSNR over the 1,000 test samples of fashion28 (hash 0f0f), EMA weights")
    assert "median of 5 after 1 to warm up, batch 16, 2 threads" in sentence(TIMED)
    assert sentence(COUNTED) == "parameters."
    assert "on stored values" in sentence({**DRAWN, "feature": None})
    assert "0 to 7 per class" in sentence({**DRAWN, "class_distribution": [0, 7]})
    assert "(1 2)" in sentence({**DRAWN, "sampler": {"guidance": [1.0, 2.0]}})
