"""A store that is down, hung or impossible costs training nothing, and loses nothing."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

import pytest

from hybridgen.runs.run import Run
from hybridgen.tracking.process import Tracking, start_mirror, store_uri
from hybridgen.tracking.store import connect
from hybridgen.tracking.sync import has_pending, mirror

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

TRAINER = """
import os, signal, sys
from pathlib import Path
from hybridgen.runs.run import Run
from hybridgen.tracking.process import Tracking, start_mirror
run = Run.create(Path(sys.argv[1]), "demo", {"seed": 0}, {})
mirror = start_mirror(run, Tracking())
run.log(1, {"loss": 1.0}, "generator")
assert mirror.wait(60), "the line did not arrive while training went on"
run.log(2, {"loss": 0.5}, "generator")
print(run.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    """Tracking URIs that cannot work: nobody listens; somebody listens and never answers; a folder, not a database."""
    with socket.socket() as hung, socket.socket() as closed:
        hung.bind(("127.0.0.1", 0))
        hung.listen(64)
        closed.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        yield {
            "refused": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "hung": f"http://127.0.0.1:{hung.getsockname()[1]}",
            "folder": f"sqlite:///{tmp_path_factory.mktemp('folder')}",
        }


@pytest.fixture(scope="module")
def stuck(ways, tmp_path_factory):
    """Way -> (run, mirror, seconds that starting took, seconds of each log); all mirrors at work at the same time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        found = {}
        for way, uri in ways.items():
            run = Run.create(tmp_path_factory.mktemp(way), "demo", {"seed": 0}, {})
            begun = time.perf_counter()
            follower = start_mirror(run, Tracking(uri=uri))
            found[way] = (run, follower, time.perf_counter() - begun, [])
        for run, _, _, spent in found.values():
            for step in range(100):
                begun = time.perf_counter()
                run.log(step, {"loss": 1.0}, "generator")
                spent.append(time.perf_counter() - begun)
        for run, *_ in found.values():
            run.finish()
        yield found


@pytest.mark.parametrize("way", ["refused", "hung", "folder"])
def test_a_bad_store_costs_training_nothing_and_loses_nothing(stuck, ways, way):
    run, follower, starting, logging = stuck[way]
    assert starting < 0.2
    assert statistics.median(logging) < 0.002
    assert not follower.wait(60)
    said = (run.path / "tracking.log").read_text()
    assert said.count("gave up") == 1
    assert "Traceback" not in said
    assert json.loads((run.path / "tracking.json").read_text())[ways[way]]["failing"]
    good = store_uri(run.path.parent.parent)
    assert has_pending(run, good)
    assert mirror(run, good)
    assert points(good, run) == [(step, 1.0) for step in range(100)]


def test_a_mirror_follows_a_run_and_sees_it_die(tmp_path, root):
    done = subprocess.run([sys.executable, "-c", TRAINER, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run, uri = Run(tmp_path / done.stdout.strip()), store_uri(tmp_path)
    end = time.monotonic() + 30
    while has_pending(run, uri) and time.monotonic() < end:
        time.sleep(0.2)
    assert points(uri, run) == [(1, 1.0), (2, 0.5)]
    assert {each.info.status for each in stored(uri)} == {"KILLED"}


def test_a_mirror_that_is_killed_is_made_good(tmp_path, root):
    run, uri = Run.create(tmp_path, "demo", {"seed": 0}, {}), store_uri(tmp_path)
    run.log(1, {"loss": 1.0}, "generator")
    follower = start_mirror(run, Tracking())
    assert follower.wait(60)
    os.kill(follower.pid, signal.SIGKILL)
    run.log(2, {"loss": 0.5}, "generator")
    run.finish()
    assert not follower.wait(30)
    command = [sys.executable, "-m", "hybridgen", "track", "sync", "demo", "--runs", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"demo/{run.name}: sent to {uri}" in done.stderr
    assert points(uri, run) == [(1, 1.0), (2, 0.5)]


def stored(uri):
    client = connect(uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


def points(uri, run):
    found = {each.info.run_name: each.info.run_id for each in stored(uri)}
    return [(m.step, m.value) for m in connect(uri).get_metric_history(found[f"generator {run.name}"], "loss")]
