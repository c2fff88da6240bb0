"""The goldens are parts of the reference data, small, and of code under the MIT licence alone."""

import json

import pytest
from reference import HERE, reference_folder
from safetensors.torch import load_file

from tests.parity.goldens.grown import read

GOLDENS = sorted(place.parent for place in (HERE / "goldens").glob("*/case.json"))


def test_they_are_small_and_free():
    assert sum(file.stat().st_size for folder in GOLDENS for file in folder.iterdir()) <= 1_000_000
    said = (HERE / "goldens/NOTICE.md").read_text()
    for folder in GOLDENS:
        config = json.loads((folder / "case.json").read_text())["config"]
        assert f"`{folder.name}`" in said
        assert f"{config['official_repo']} @ {config['commit'][:7]}" in said
        assert "DiT" not in config["official_repo"]


@pytest.mark.parametrize("folder", GOLDENS, ids=lambda folder: folder.name)
def test_they_are_what_the_reference_data_say(folder):
    """Inputs and outputs to the last bit, weights to the last but one."""
    whole, (about, kept, weights) = reference_folder() / folder.name, read(folder)
    io, official = load_file(whole / "io.safetensors"), load_file(whole / "weights.safetensors")
    assert all(value.equal(io[name]) for name, value in kept.items())
    assert sorted(about["left_out"]) == sorted(io.keys() - kept.keys())
    for name, value in weights.items():
        assert (value - official[name]).abs().max() <= 3e-7 * official[name].abs().max(), name
