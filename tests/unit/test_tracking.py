"""The mirror to MLflow: everything arrives, once."""

import math
import shutil

import pytest

from hybridgen.runs.run import Run
from hybridgen.system.errors import UserError
from hybridgen.system.files import lock
from hybridgen.tracking.process import Tracking, start_mirror, store_uri, sync_pending
from hybridgen.tracking.store import LONGEST, Store, clean, connect, flatten
from hybridgen.tracking.sync import MIRROR_LOCK, has_pending, mirror

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A database with its tables: making them takes seconds, so it is done once."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    connect(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def runs(tmp_path, empty_store):
    """A runs folder whose store is ready."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


def make(runs, **config):
    run = Run.create(runs, "demo", {"model": {"width": 64, "head": None}, **config}, {"model": {"width": 64}})
    for step in range(3):
        run.log(step, {"loss": 1.0 / (1 + step), "bad": math.nan}, "tokenizer")
        run.log(step, {"loss": 2.0, "held_out/ce@k": 3.0}, "generator")
    return run


def stored(runs):
    """Run name -> MLflow run, and the client."""
    client = connect(store_uri(runs))
    experiments = [e.experiment_id for e in client.search_experiments()]
    return {run.info.run_name: run for run in client.search_runs(experiments)}, client


def history(runs, name, key):
    found, client = stored(runs)
    return [(m.step, m.value) for m in client.get_metric_history(found[name].info.run_id, key)]


def test_everything_arrives(runs):
    run = make(runs, long="x" * 7000)
    (run.path / "samples" / "step_2.png").write_bytes(b"png")
    run.summary.write_text('{"frechet": {"value": 1.25, "protocol": {}}, "note": "text"}')
    run.model.write_bytes(b"weights")
    run.finish()
    uri = store_uri(runs)
    assert has_pending(run, uri)
    assert mirror(run, uri, say=pytest.fail)
    assert not has_pending(run, uri)
    found, client = stored(runs)
    parent = found[run.name]
    assert parent.info.status == "FINISHED"
    assert parent.data.params["model.width"] == "64"
    assert parent.data.params["model.head"] == "null"
    assert len(parent.data.params["long"]) == LONGEST
    assert parent.data.metrics == {"frechet": 1.25}
    assert parent.data.tags["version.torch"]
    files = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert files == {"config.yaml", "delta.yaml", "samples", "summary.json", "model.safetensors"}
    for stage in ("tokenizer", "generator"):
        child = found[f"{stage} {run.name}"]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.info.status == "FINISHED"
    assert history(runs, f"tokenizer {run.name}", "loss") == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert history(runs, f"generator {run.name}", "held_out/ce_k") == [(0, 3.0), (1, 3.0), (2, 3.0)]


def test_files_lie_beside_the_store_wherever_one_stands(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    run = make(runs)
    assert mirror(run, store_uri(runs))
    assert list((runs / "mlflow-artifacts" / "demo").glob("*/artifacts/config.yaml"))


def test_sending_again_adds_nothing(runs):
    run = make(runs)
    uri = store_uri(runs)
    assert mirror(run, uri)
    (run.path / "tracking.json").unlink()  # the mirror was killed before it could note anything
    assert mirror(run, uri)
    assert len(stored(runs)[0]) == 3
    assert history(runs, f"generator {run.name}", "loss") == [(0, 2.0), (1, 2.0), (2, 2.0)]


def test_a_resumed_run_goes_on_in_the_same_place_without_doubles(runs):
    run = make(runs)
    run.finish("interrupted")
    uri = store_uri(runs)
    assert mirror(run, uri)
    assert stored(runs)[0][run.name].info.status == "KILLED"
    run.resume()
    run.rewind("generator", 0)
    for step in (1, 2, 3):
        run.log(step, {"loss": 2.0}, "generator")
    run.finish()
    assert has_pending(run, uri)
    assert mirror(run, uri)
    found, _ = stored(runs)
    assert len(found) == 3
    assert {each.info.status for each in found.values()} == {"FINISHED"}
    assert history(runs, f"generator {run.name}", "loss") == [(0, 2.0), (1, 2.0), (2, 2.0), (3, 2.0)]


def test_a_linked_tokenizer_is_a_stage_of_the_run(runs):
    tokenizer = Run.at(runs / "tokenizers" / "ab", {}, {})
    tokenizer.log(7, {"psnr": 21.0}, "tokenizer")
    run = Run.create(runs, "demo", {}, {})
    run.link("tokenizer", tokenizer)
    run.finish()
    assert mirror(run, store_uri(runs))
    assert history(runs, f"tokenizer {run.name}", "psnr") == [(7, 21.0)]
    assert not has_pending(run, store_uri(runs))


def test_a_store_that_was_emptied_gets_everything_again(runs, empty_store):
    run = make(runs)
    run.finish()
    uri = store_uri(runs)
    assert mirror(run, uri)
    with connect(uri)._tracking_client.store.ManagedSessionMaker() as session:  # what deleting the file comes to
        from mlflow.store.tracking.dbmodels import models

        for table in (models.SqlMetric, models.SqlLatestMetric, models.SqlParam, models.SqlTag, models.SqlRun):
            session.query(table).delete()
    said = []
    assert mirror(run, uri, say=said.append)
    assert len(said) == 1
    assert history(runs, f"generator {run.name}", "loss") == [(0, 2.0), (1, 2.0), (2, 2.0)]


def test_a_run_deleted_in_the_store_is_left_alone(runs):
    run = make(runs)
    uri = store_uri(runs)
    assert mirror(run, uri)
    found, client = stored(runs)
    client.delete_run(found[f"generator {run.name}"].info.run_id)
    run.log(3, {"loss": 1.0}, "generator")
    run.finish()
    said = []
    assert not mirror(run, uri, say=said.append)
    assert "track sync" in said[-1]
    assert not has_pending(run, uri), "the next command does not try again"


def test_two_mirrors_of_a_run_never_work_at_once(runs):
    run = make(runs)
    said = []
    with lock(run.path / MIRROR_LOCK):
        assert not mirror(run, store_uri(runs), say=said.append)
    assert "is being sent already" in said[0]
    assert stored(runs)[0] == {}


def test_only_runs_with_something_unsent_are_sent_later(runs, monkeypatch):
    started = []
    monkeypatch.setattr("hybridgen.tracking.process._spawn", lambda arguments, uri, log: started.append(arguments))
    sent, unsent, training = make(runs), make(runs), make(runs)
    for run in (sent, unsent):
        run.finish()
    assert mirror(sent, store_uri(runs))
    assert sync_pending(runs, Tracking(enabled=False)) == []
    assert [run.path for run in sync_pending(runs, Tracking())] == [unsent.path]
    assert started == [[str(unsent.path)]]
    assert training.status == "running"
    sent.report.write_text("a new report")
    assert [run.path for run in sync_pending(runs, Tracking())] == [sent.path, unsent.path]


def test_switched_off_means_off(tmp_path):
    run = Run.create(tmp_path, "demo", {}, {})
    follower = start_mirror(run, Tracking(enabled=False))
    assert follower.wait(0)
    assert not (run.path / "tracking.log").exists()


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("a[0]=b@c", "a_0__b_c"),
        ("../x", "x"),
        ("a//b/./c/", "a/b/c"),
        ("", "_"),
        ("Fréchet", "Fr_chet"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_fit_the_grammar(name, cleaned):
    from mlflow.utils.validation import _validate_metric_name

    assert clean(name) == cleaned
    _validate_metric_name(cleaned)


def test_a_config_becomes_flat_texts():
    tree = {"a": {"b": [1, {"c": 2}], "d": None}, "e": True, "f": {}, "g": "y" * 9000}
    flat = flatten(tree)
    assert {k: flat[k] for k in ("a.b", "a.d", "e", "f")} == {
        "a.b": "[1, {'c': 2}]",
        "a.d": "null",
        "e": "true",
        "f": "{}",
    }
    assert len(flat["g"]) == LONGEST


def test_clients_give_up_soon(monkeypatch):
    import os

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "9")
    connect("http://127.0.0.1:9")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "9", "what the user has set stands"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_errors_of_a_store_are_told_apart():
    class StoreError(Exception):
        error_code = "RESOURCE_DOES_NOT_EXIST"

    assert Store.is_loss(StoreError())
    assert not Store.is_refusal(StoreError())
    assert not Store.is_loss(UserError())
