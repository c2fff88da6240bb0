"""`hybridgen --version -v`: what matters when something does not work."""

import json
import re

import pytest

from hybridgen.cli import main
from hybridgen.cli.version import known_bad


def test_versions_devices_data(capsys):
    assert main(["--version", "-v"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  torch +2\.", said, re.MULTILINE)
    assert "no known-bad pair" in said
    assert re.search(r"^  devices +CPU \(1 threads", said, re.MULTILINE)
    assert "fashion28.npz" in said
    assert "fashion28.safetensors" in said


def test_as_json(capsys, monkeypatch):
    monkeypatch.setenv("HYBRIDGEN_DATA", "/data")
    assert main(["--version", "-v", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["known bad"] == []
    assert found["HYBRIDGEN_DATA"] == "/data"
    assert "emoji32.npz" in found["shipped data"]


def test_unknown_argument(capsys):
    assert main(["--version", "--jsno"]) == 2
    assert "hybridgen --version: unknown argument '--jsno'. Did you mean '--json'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("found", "hints"),
    [
        ({"torch": "2.14.1", "torchvision": "0.29.0"}, []),
        ({"torch": "2.14.1+cpu", "torchvision": "0.29.0+cpu"}, []),
        ({"torch": "2.14.1", "torchvision": "0.28.0"}, ["torch 2.N goes with torchvision 0.(N + 15)"]),
        ({"torch": "2.9.0+cpu", "torchvision": "0.24.0"}, ["both must be of one build"]),
        ({"torch": "2.9.0", "torchvision": "0.24.0+cpu"}, ["both must be of one build"]),
        ({"torch": "2.9.0+cpu", "torchvision": "0.25.0"}, ["torchvision 0.(N + 15)", "both must be of one build"]),
        ({"torch": "2.9.0", "torchvision": None}, []),
        ({"scipy": "1.18.0"}, ["scipy 1.18 removed an argument that clean-fid passes"]),
        ({"scipy": "1.17.1"}, []),
    ],
)
def test_known_bad_pairs(found, hints):
    bad = known_bad(found)
    assert len(bad) == len(hints)
    assert all(hint in said for hint, said in zip(hints, bad, strict=True))
