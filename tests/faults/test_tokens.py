"""Tokens on disk: written once by whoever comes, whatever is killed; and the batches that are read of them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from itertools import islice
from pathlib import Path

import pytest
import torch
from tiny_run import ROOT, tiny

from hybridgen.assemble import assemble_data, assemble_model
from hybridgen.data.base import MemorySplit
from hybridgen.media.image import ImageMedium
from hybridgen.system.errors import UserError
from hybridgen.training import tokens as in_memory
from hybridgen.training.batches import Batches, Stream
from hybridgen.training.token_store import DiskTokens
from hybridgen.training.tokens import MemoryTokens, Views

CPU, GREY, COUNT = torch.device("cpu"), ImageMedium(channels=1, size=28), 60

# A process that writes a store, noting each chunk that it encodes, and dies before it marks chunk argv[2].
WRITE = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_tokens import store, model, CPU
from hybridgen.training import token_store
folder, dies = Path(sys.argv[1]), int(sys.argv[2])
made = token_store.encode
def encode(tokenizer, x, device):
    with open(folder.parent / "encoded.txt", "a") as log:
        log.write(f"{{os.getpid()}} {{len(x)}}\\n")
    return made(tokenizer, x, device)
token_store.encode = encode
mark = Path.touch
def touch(self, *a, **k):
    if self.parent.name == "done" and int(self.name) == dies:
        os.kill(os.getpid(), signal.SIGKILL)
    mark(self, *a, **k)
Path.touch = touch
store(folder).write(model().tokenizer, CPU, {{}}, print)
"""


def model():
    composed = tiny()
    torch.manual_seed(0)
    return assemble_model(composed, assemble_data(composed).spec).eval()


def views():
    whole = assemble_data(tiny()).split("valid")
    return Views(MemorySplit(whole.x[:COUNT], label=whole.labels[:COUNT]), GREY, (-1,))


def store(folder, at_once=20):
    in_memory.CHUNK = at_once
    return DiskTokens(folder, views(), model().tokenizer.spec)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(in_memory, "CHUNK", 20)


def writer(folder, dies=-1):
    code = textwrap.dedent(WRITE).format(tests=str(Path(__file__).parent))
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(dies)], env=environment, stderr=subprocess.PIPE, text=True
    )


def end(process, code=0):
    """Waits for its end; what it said on stderr is told where the exit code is another."""
    _, err = process.communicate(timeout=180)
    assert process.returncode == code, err


def encoded(folder):
    return [int(line.split()[1]) for line in (folder.parent / "encoded.txt").read_text().splitlines()]


def same(a, b):
    rows = torch.tensor([0, 119, 7, 60, 61])
    return all(torch.equal(torch.as_tensor(a.take(rows)[name]), torch.as_tensor(v)) for name, v in b.take(rows).items())


def test_disk_holds_what_memory_holds(tmp_path):
    disk = store(tmp_path / "t")
    disk.write(model().tokenizer, CPU, {"a": 1}, print)
    assert same(disk, MemoryTokens(model().tokenizer, views(), CPU))
    with pytest.raises(UserError, match="tokens of something else"):
        store(tmp_path / "t").write(model().tokenizer, CPU, {"a": 2}, print)


@pytest.mark.slow
def test_killed_while_writing_only_the_last_chunk_is_made_again(tmp_path):
    end(writer(tmp_path / "t", dies=3), -signal.SIGKILL)
    assert encoded(tmp_path / "t") == [20] * 4
    end(writer(tmp_path / "t"))
    assert encoded(tmp_path / "t") == [20] * 7, "six chunks, of which one was lost"
    assert same(store(tmp_path / "t"), MemoryTokens(model().tokenizer, views(), CPU))


@pytest.mark.slow
def test_two_at_once_write_one_store(tmp_path):
    both = [writer(tmp_path / "t") for _ in range(2)]
    for process in both:
        end(process)
    assert encoded(tmp_path / "t") == [20] * 6, "nothing was encoded twice"
    assert same(store(tmp_path / "t"), MemoryTokens(model().tokenizer, views(), CPU))


def test_a_short_file_is_said(tmp_path):
    disk = store(tmp_path / "t")
    disk.write(model().tokenizer, CPU, {}, print)
    with (tmp_path / "t" / "latent.bin").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(UserError, match=r"latent\.bin: shorter than its rows"):
        disk.take(torch.tensor([3]))


def batches_of(source, **ranks):
    return Batches(source, 8, 0, **ranks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_change_no_batch(tmp_path, workers):
    """Rows of a step depend on seed and step alone: for any number of readers, also from the middle on."""
    disk = store(tmp_path / "t")
    disk.write(model().tokenizer, CPU, {}, print)
    plain = [batches_of(disk)[index] for index in range(20)]
    for start in (0, 11):
        found = list(islice(Stream(batches_of(disk), start, workers), 20 - start))
        for ours, theirs in zip(found, plain[start:], strict=True):
            assert ours["index"] == theirs["index"]
            assert torch.equal(ours["latent"], theirs["latent"])
            assert torch.equal(ours["label"], theirs["label"])


def test_two_ranks_together_have_the_batch(tmp_path):
    whole = MemoryTokens(model().tokenizer, views(), CPU)
    parts = [batches_of(whole, rank=rank, world=2)[5]["latent"] for rank in range(2)]
    assert torch.equal(torch.cat(parts), batches_of(whole)[5]["latent"])


def test_encoded_as_one_trains_is_the_same(tmp_path):
    """`tokens: none` has the rows of the others; the samples are encoded in the step."""
    kept, bare = MemoryTokens(model().tokenizer, views(), CPU), views()
    for index in (0, 9):
        tokens = in_memory.tokens_of(batches_of(bare)[index], model().tokenizer)
        torch.testing.assert_close(tokens.latent, batches_of(kept)[index]["latent"])


@pytest.mark.slow
def test_training_is_the_same_wherever_tokens_are(tmp_path, monkeypatch):
    """Memory, disk with two readers, and disk after kill -9: the same weights to the bit."""
    from safetensors.torch import load_file
    from tiny_run import TINY, ended, only, start

    def run(folder, *words, at=None):
        folder.mkdir(exist_ok=True)
        return ended(start("train", TINY, *words, cwd=folder, at=at), timeout=280)

    code, _, err = run(tmp_path / "a", "tokens=memory")
    assert code == 0, err
    code, _, err = run(tmp_path / "b", "tokens=disk", "compute.workers=2")
    assert code == 0, err
    run(tmp_path / "c", "tokens=disk", at=("generator", 8, "os.kill(os.getpid(), signal.SIGKILL)"))
    code, _, err = ended(start("resume", "tiny", cwd=tmp_path / "c"), timeout=280)
    assert code == 0, err
    weights = [load_file(only(tmp_path / name / "runs" / "tiny") / "model.safetensors") for name in "abc"]
    for other in weights[1:]:
        assert all(torch.equal(other[name], value) for name, value in weights[0].items())
    meta = json.loads(next((tmp_path / "b" / "runs" / "tokens").glob("*/tokens.json")).read_text())
    assert meta["rows"] in (300, 11400)
