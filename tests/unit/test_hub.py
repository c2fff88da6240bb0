"""`hf://` in `hybridgen import`, with the hub's own package and its download stood in for: no network."""

import json
import shutil
import sys

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from hybridgen.published.reading import locate, read
from hybridgen.system.errors import UserError


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder that stands for the hub; what was fetched lies in a folder of its own, and is listed."""
    there, fetched = tmp_path / "hub", []
    there.mkdir()

    def download(repo_id, filename):
        if not (there / repo_id / filename).is_file():
            raise EntryNotFoundError(f"404: {repo_id} has no {filename}")
        fetched.append(f"{repo_id}/{filename}")
        here = tmp_path / "cache" / repo_id / filename
        here.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(there / repo_id / filename, here)
        return str(here)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return there, fetched


def put(folder, name, tensors):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name)


def test_one_file(hub):
    there, fetched = hub
    put(there / "me/model/deep", "weights.safetensors", {"a": torch.ones(2)})
    (path,) = locate("hf://me/model/deep/weights.safetensors")
    assert read(path)["a"].tolist() == [1, 1]
    assert fetched == ["me/model/deep/weights.safetensors"]


@pytest.mark.parametrize("folder", ["", "llm/"])
def test_shards_come_with_their_index(hub, folder):
    """All of them, and nothing else; at the top of a repository or below it."""
    there, fetched = hub
    put(there / "me/model" / folder, "1.safetensors", {"a": torch.ones(1)})
    put(there / "me/model" / folder, "2.safetensors", {"b": torch.zeros(1)})
    put(there / "me/model" / folder, "3.safetensors", {"c": torch.zeros(1)})
    index = f"me/model/{folder}model.safetensors.index.json"
    (there / index).write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    (path,) = locate(f"hf://{index}")
    assert read(path).keys() == {"a", "b"}
    assert sorted(fetched) == [f"me/model/{folder}{name}.safetensors" for name in "12"] + [index]


def test_what_is_not_there_is_told(hub):
    with pytest.raises(UserError, match=r"hf://me/model/weights\.bin: could not be fetched \(404: me/model has no"):
        locate("hf://me/model/weights.bin")
    for short in ("hf://me/model", "hf://me", "hf://me//file"):
        with pytest.raises(UserError, match=f"{short}: write hf://OWNER/REPOSITORY/FILE"):
            locate(short)
    assert hub[1] == []


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"needs the extra 'hub': pip install 'hybridgen\[hub\]'"):
        locate("hf://me/model/weights.bin")
