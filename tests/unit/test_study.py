"""A study's tasks: each is done once and counted once, whatever happens to trials and to their workers."""

import ast
import math
import os
from pathlib import Path

import optuna
import pytest
from dummy_study import dummy, loss, states
from optuna.exceptions import StorageInternalError

import hybridgen.sweeps
from hybridgen.sweeps.queue.lease import OWNER, owner
from hybridgen.sweeps.queue.study import REASON, TASK
from hybridgen.sweeps.queue.view import in_words, standing
from hybridgen.sweeps.queue.work import work


def run(number, params, report):
    return {"loss": loss(params)}


def test_a_finished_study_adds_nothing_and_goes_on_with_more(tmp_path):
    study = dummy(tmp_path)
    assert study.open_tickets(5) == 5
    assert work(study, run) == 5
    again = dummy(tmp_path)
    assert again.open_tickets(5) == 0
    assert work(again, run) == 0
    assert len(again.trials()) == 5
    assert again.open_tickets(8) == 3
    assert work(again, run) == 3
    assert [t.user_attrs[TASK] for t in again.counted()] == list(range(8))
    assert states(again) == {"COMPLETE": 8}


def test_the_parameters_depend_on_the_trial_alone(tmp_path):
    """Two studies of one seed ask for the same trials, and no two trials are alike."""
    found = []
    for name in ("a", "b"):
        study = dummy(tmp_path / name)
        study.open_tickets(6)
        work(study, run)
        found.append([t.params for t in study.counted()])
    assert found[0] == found[1]
    assert len({p["x"] for p in found[0]}) == 6


def test_a_failing_trial_is_recorded_and_the_study_goes_on(tmp_path):
    study = dummy(tmp_path)
    study.open_tickets(4)

    def fails(number, params, report):
        if number == 1:
            raise MemoryError("no room for 3 GiB")
        return {"loss": math.nan if number == 2 else 1.0}

    assert work(study, fails) == 4
    reasons = {t.number: t.user_attrs.get(REASON) for t in study.counted()}
    assert reasons == {0: None, 1: "MemoryError: no room for 3 GiB", 2: "no finite objective: loss is nan", 3: None}
    assert states(study) == {"COMPLETE": 2, "FAIL": 2}
    assert study.open_tickets(4) == 0, "a trial that failed by itself would fail again"
    found = standing(study, 4)
    assert (found.complete, found.failed, found.waiting) == (2, 2, 0)
    assert "1 x MemoryError: no room for 3 GiB" in in_words(found)


def test_ctrl_c_leaves_the_ticket_open(tmp_path):
    study = dummy(tmp_path)
    study.open_tickets(3)

    def stopped(number, params, report):
        if number == 1:
            raise KeyboardInterrupt
        return {"loss": loss(params)}

    with pytest.raises(KeyboardInterrupt):
        work(study, stopped)
    assert states(study) == {"COMPLETE": 1, "WAITING": 1, "FAIL": 1}
    again = dummy(tmp_path)
    assert again.open_tickets(3) == 2
    before = next(t for t in again.trials() if t.number == 1).params
    assert work(again, run) == 2
    assert states(again) == {"COMPLETE": 3}
    assert next(t for t in again.counted() if t.user_attrs[TASK] == 1).params == before, "the same trial, once more"


def test_a_lost_trial_is_retried_once(tmp_path):
    """Its task gets a second trial with the same parameters, and no third."""
    study = dummy(tmp_path)
    study.open_tickets(2)
    for attempt in range(2):
        trial = study.claim()
        params = {"x": trial.suggest_float("x", 0.0, 1.0), "n": trial.suggest_int("n", 1, 8)}
        study.note(trial, OWNER, owner() | {"start": 1})  # a process of another time had this number
        assert [t.number for t in study.recover()] == [trial.number]
        if attempt == 0:
            first = params
            study.fail(study.claim(), "so that the retried one is next")
    assert params == first
    assert work(study, run) == 0
    assert states(study) == {"FAIL": 2}
    found = standing(study, 2)
    assert (found.failed, found.lost, found.waiting) == (2, 1, 0)
    assert "its worker was lost, twice" in found.reasons


def test_a_living_owner_keeps_its_trial(tmp_path):
    study = dummy(tmp_path)
    study.open_tickets(1)
    study.claim()
    assert study.recover() == []
    assert states(study) == {"RUNNING": 1}


def test_an_owner_on_another_machine_gives_signs(tmp_path, monkeypatch):
    """Its lease file is what counts: fresh keeps the trial, stale loses it."""
    study = dummy(tmp_path)
    study.open_tickets(1)
    trial = study.claim()
    study.note(trial, OWNER, owner() | {"host": "elsewhere"})
    assert study.recover() == []
    lease = tmp_path / "leases" / str(trial.number)
    os.utime(lease, (1, 1))
    assert [t.number for t in study.recover()] == [trial.number]
    assert states(study) == {"WAITING": 1}


def test_two_commands_that_open_the_same_tickets(tmp_path):
    """A task that two hosts opened at the same moment is done once."""
    study = dummy(tmp_path)
    study.open_tickets(2)
    study.study.enqueue_trial({}, user_attrs={TASK: 1})
    assert work(study, run) == 2
    assert [t.user_attrs[TASK] for t in study.counted()] == [0, 1]
    assert states(study) == {"COMPLETE": 2}


def test_a_pruned_trial(tmp_path):
    """A median pruner stops what is worse than its predecessors; the trial counts as pruned."""
    study = dummy(tmp_path, pruner="median")
    study.open_tickets(7)

    def reports(number, params, report):
        for step in (1, 2, 3):
            report(step, 100.0 if number == 6 else 1.0)
        return {"loss": 1.0}

    assert work(study, reports) == 7
    assert states(study) == {"COMPLETE": 6, "PRUNED": 1}
    assert standing(study, 7).pruned == 1


def test_without_an_end(tmp_path):
    """Trials are opened as they are taken, until the word to stop."""
    study, seen = dummy(tmp_path), []

    def counts(number, params, report):
        seen.append(number)
        return {"loss": 1.0}

    assert work(study, counts, stop=lambda: len(seen) == 3, unbounded=True) == 3
    assert states(study) == {"COMPLETE": 3}


@pytest.mark.parametrize("taken_by_another", [False, True])
def test_a_claim_whose_answer_is_lost(tmp_path, monkeypatch, taken_by_another):
    """The database put the trial to work and could not say so: the trial is its worker's, and nobody else's."""
    monkeypatch.setattr("hybridgen.sweeps.queue.lease.SETTLING", 0.0)
    study, broken = dummy(tmp_path), []
    study.open_tickets(2)
    change = study.leases.storage.set_trial_state_values

    def breaks_once(trial_id, state, values=None):
        done = change(trial_id, state, values)
        if not broken:
            broken.append(trial_id)
            if taken_by_another:
                study.storage.set_trial_user_attr(trial_id, OWNER, owner())
            raise StorageInternalError("server closed the connection unexpectedly")
        return done

    monkeypatch.setattr(study.leases.storage, "set_trial_state_values", breaks_once)
    assert work(study, run) == (1 if taken_by_another else 2)
    assert states(study) == ({"RUNNING": 1, "COMPLETE": 1} if taken_by_another else {"COMPLETE": 2})


def test_a_trial_lost_before_it_drew_keeps_what_an_earlier_one_drew(tmp_path):
    """The second trial of a task may be stopped before it has its parameters; the third has those of the first."""
    study = dummy(tmp_path)
    study.open_tickets(1)
    first = study.claim()
    params = {"x": first.suggest_float("x", 0.0, 1.0), "n": first.suggest_int("n", 1, 8)}
    study.stop(first)
    study.open_tickets(1)
    study.stop(study.claim())
    study.open_tickets(1)
    assert work(study, run) == 1
    assert [t.params for t in study.counted()] == [params]


def test_optuna_is_used_as_documented(tmp_path):
    """No private name of anything in `sweeps`; and a trial made of a study and an id is the stored one."""
    files = Path(hybridgen.sweeps.__file__).parent.rglob("*.py")
    private = [
        f"{file.name}:{node.lineno} {ast.unparse(node)}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os"))
    ]
    assert private == []
    study = dummy(tmp_path)
    study.open_tickets(2)
    for number in range(2):
        identity = study.storage.get_trial_id_from_study_id_trial_number(study.id, number)
        assert optuna.Trial(study.study, identity).number == number
