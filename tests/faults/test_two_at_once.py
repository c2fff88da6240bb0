"""Several `train` of one experiment at once: the tokenizer is trained once, whoever dies in the meantime."""

import json
import signal

import pytest
from tiny_run import TINY, curves, differing, ended, only, start, wait_for, weights

from hybridgen.runs.run import Run, runs_in

pytestmark = pytest.mark.slow

# The trainer of the tokenizer waits for a word, then goes on, or dies.
PAUSE = "\nwhile not Path('go').exists(): time.sleep(0.05)\n"
DIE = PAUSE + "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_the_tokenizer_is_trained_once(tmp_path, tiny_runs, dies):
    first = start("train", TINY, cwd=tmp_path, at=("tokenizer", 6, DIE if dies else PAUSE))
    wait_for(first, lambda: list(tmp_path.glob("runs/tokenizers/*/checkpoints/last.ckpt")))
    second = start("train", TINY, cwd=tmp_path)
    wait_for(second, lambda: len(runs_in(tmp_path / "runs/tiny")) == 2)
    waiting = next(line for line in second.stderr if line.startswith("waiting: "))
    assert f"is held by pid {first.pid} on" in waiting
    (tmp_path / "go").touch()
    codes = [ended(process)[0] for process in (first, second)]
    assert codes == [-signal.SIGKILL if dies else 0, 0]
    check(tmp_path, tiny_runs, finished=1 if dies else 2)
    if dies:
        code, _, said = ended(start("resume", runs_in(tmp_path / "runs/tiny")[0], cwd=tmp_path))
        assert code == 0, said
        check(tmp_path, tiny_runs, finished=2)


def check(folder, tiny_runs, finished):
    """One whole tokenizer without doubles in its curve, and whole runs that equal the unbroken one."""
    tokenizer, expected = only(folder / "runs/tokenizers"), only(tiny_runs / "tokenizers")
    assert curves(tokenizer) == curves(expected)
    assert differing(weights(tokenizer), weights(expected)) == []
    runs = [Run(path) for path in runs_in(folder / "runs/tiny")]
    done = [run for run in runs if run.status == "finished"]
    assert len(done) == finished
    for run in done:
        assert differing(weights(run.path), weights(only(tiny_runs / "tiny"))) == []
        assert json.loads(run.summary.read_text())["accuracy"]
        assert run.report.read_text().rstrip().endswith("</html>")
        assert run.metrics()[0]["stage"] == "tokenizer", "its curves are shown with the run's own"
    assert not list(folder.rglob(".*tmp*")), "nothing half-written is left"
