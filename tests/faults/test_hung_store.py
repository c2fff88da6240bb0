"""A tracking server that never answers: `train` ends as it does without one, and nothing is lost."""

import socket
import time

import pytest
from tiny_run import TINY, differing, only, weights

from hybridgen.cli import main
from hybridgen.runs.run import Run
from hybridgen.tracking.process import store_uri
from hybridgen.tracking.store import connect
from hybridgen.tracking.sync import has_pending

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
PATIENCE = 5.0  # seconds that `train` waits, its results printed, for a store that has not answered yet


@pytest.fixture
def hung():
    """The address of a server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_training_does_not_wait(hung, tiny_runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    spent = []
    for more in (["runs=plain"], ["runs=tracked", "tracking.enabled=true", f"tracking.uri={hung}"]):
        begun = time.monotonic()
        assert main(["train", str(TINY), *more]) == 0
        spent.append(time.monotonic() - begun)
    plain, tracked = spent
    assert tracked < plain + PATIENCE + 5  # another process imports MLflow meanwhile, on the same cores
    assert "the store is slow or away; a later command sends the rest" in capsys.readouterr().out
    run = Run(only(tmp_path / "tracked/tiny"))
    assert run.status == "finished"
    assert differing(weights(run.path), weights(only(tiny_runs / "tiny"))) == []
    assert has_pending(run, hung)
    delivered(run, tmp_path / "tracked")


def delivered(run, root):
    """A later command sends everything to a store that works."""
    good = store_uri(root)
    # the mirror of training still holds the run until it has given up
    end = time.monotonic() + 60
    while main(["track", "sync", str(run.path), "--uri", good]) != 0:
        assert time.monotonic() < end
        time.sleep(1)
    assert not has_pending(run, good)
    client = connect(good)
    stored = client.search_runs([e.experiment_id for e in client.search_experiments()])
    found = {each.info.run_name: each.info.run_id for each in stored}
    for stage in ("tokenizer", "generator"):
        logged = [(line["step"], line["values"]["train/loss"]) for line in run.metrics()
                  if line["stage"] == stage and "train/loss" in line["values"]]  # fmt: skip
        sent = client.get_metric_history(found[f"{stage} {run.name}"], "train/loss")
        assert [(point.step, point.value) for point in sent] == logged
