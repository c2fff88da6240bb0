"""kill -9 in each stage, then `resume`: weights and logged losses are those of an unbroken run, to the last bit.

More places to die at, bf16 and accumulated batches: tests/unit/test_stage.py, without processes.
"""

import signal

import pytest
from tiny_run import TINY, curves, differing, ended, only, start, weights
from tiny_stage import ADVERSARY

from hybridgen.runs.journal import read
from hybridgen.runs.run import Run

pytestmark = pytest.mark.slow
DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_killed_in_each_stage(tmp_path, tiny_runs):
    """Killed in stage 1, resumed, killed in stage 2, resumed; each time between two checkpoints."""
    code, _, said = ended(start("train", TINY, cwd=tmp_path, at=("tokenizer", 7, DIE)))
    assert code == -signal.SIGKILL, said
    run = Run(only(tmp_path / "runs/tiny"))
    assert (run.status, run.info["status"]) == ("interrupted", "running"), "dead without a word"
    code, _, said = ended(start("resume", "tiny", cwd=tmp_path, at=("generator", 10, DIE)))
    assert code == -signal.SIGKILL, said
    assert not run.model.exists()
    assert [line["step"] for line in read(run.metrics_file)][-1] == 10, "what was logged is there"
    code, out, said = ended(start("resume", run.path, cwd=tmp_path))
    assert code == 0, said
    assert "accuracy by the judge" in out
    whole = only(tiny_runs / "tiny")
    assert differing(weights(run.path), weights(whole)) == []
    assert curves(run.path) == curves(whole)
    tokenizer, expected = only(tmp_path / "runs/tokenizers"), only(tiny_runs / "tokenizers")
    assert differing(weights(tokenizer), weights(expected)) == []
    assert curves(tokenizer) == curves(expected)
    assert run.status == Run(tokenizer).status == "finished"
    assert not list(tmp_path.rglob(".*tmp*")), "nothing half-written is left"


def test_killed_while_writing_a_checkpoint(tmp_path, tiny_runs):
    """The old checkpoint stands, whole; the torn one is swept up."""
    torn = """
replace = os.replace
def die(source, target):
    if str(target).endswith("last.ckpt"):
        Path(source).write_bytes(Path(source).read_bytes()[:1000])
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = die
"""
    code, _, said = ended(start("train", TINY, cwd=tmp_path, at=("generator", 4, torn)))
    assert code == -signal.SIGKILL, said
    run = Run(only(tmp_path / "runs/tiny"))
    assert list(run.checkpoint.parent.glob(".*tmp*"))
    code, _, said = ended(start("resume", "tiny", cwd=tmp_path))
    assert code == 0, said
    assert differing(weights(run.path), weights(only(tiny_runs / "tiny"))) == []
    assert not list(tmp_path.rglob(".*tmp*"))


def test_killed_against_an_adversary(tmp_path):
    """In the phase in which the discriminator learns: it and its optimiser come back from the checkpoint."""
    for folder, at in (("whole", None), ("broken", ("tokenizer", 7, DIE))):
        (tmp_path / folder).mkdir()
        code, _, said = ended(start("train", TINY, *ADVERSARY, cwd=tmp_path / folder, at=at))
        assert code == (-signal.SIGKILL if at else 0), said
    code, _, said = ended(start("resume", "tiny", cwd=tmp_path / "broken"))
    assert code == 0, said
    whole, broken = (only(tmp_path / folder / "runs/tokenizers") for folder in ("whole", "broken"))
    assert differing(weights(broken), weights(whole)) == []
    assert curves(broken) == curves(whole)
    assert {step for _, step, values in curves(broken) if "train/discriminator" in values} == {6, 8, 10, 12}
    assert not any("discriminator" in name for name in weights(broken)), "it is no part of the tokenizer"
    first, second = (weights(only(tmp_path / folder / "runs/tiny")) for folder in ("whole", "broken"))
    assert differing(first, second) == []
