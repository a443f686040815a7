"""Runs of deployments that somebody goes on with by hand, once workers have done with them."""

from __future__ import annotations

import pytest
from tests.orchestration.plant import Plant

from penstock import clock, errors
from penstock.core import records
from penstock.core.operations.flow_runs import CancelFlowRun, GetFlowRun, RetryFlowRun, SetFlowRunState
from penstock.core.operations.pauses import SuspendFlowRun
from penstock.core.states import StateType
from penstock.core.work import ExitReason
from penstock.orchestration import by_hand, overview
from penstock.orchestration.ending import Ender
from penstock.orchestration.fold import record
from penstock.orchestration.lost import mark_lost


def fail(plant: Plant) -> str:
    """A run that a worker has executed, and that has failed; its id."""
    run = plant.create()
    plant.claim()
    plant.begin(run, 1)
    plant.end(run, 1, "FAILED", "Failed")
    plant.exit(run, 1)
    return run


def resume(plant: Plant, run: str, attempt: int = 2) -> None:
    """A process on this machine goes on with the run, as `penstock flow-run resume` does."""
    at = plant.now()
    plant.tell(
        run,
        attempt,
        records.JournalOpened(1, run, attempt, "main", "host", clock.boot_id(), 4242, at, "0"),
        records.FlowRunBegan(at, run, attempt, "otter", "etl", "1", "etl.py:etl", {}, source="resume"),
    )


def interrupt(plant: Plant, run: str, attempt: int = 2) -> None:
    plant.tell(run, attempt, records.FlowRunEnded(plant.now(), run, "CRASHED", "Interrupted", "told to end"))


def refused(plant: Plant, run: str) -> str:
    with pytest.raises(errors.AlreadyRunning) as caught, plant.store.reading() as tx:
        by_hand.refuse_if_others(tx, overview.flow_run(tx, run))
    return f"{caught.value.message}. {caught.value.hint}".replace(plant.run(run).name, "NAME")


# ── while it is with workers ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_waits_for_a_worker_is_not_gone_on_with_by_hand(plant: Plant):
    run = plant.create()
    told = refused(plant, run)

    assert told == (
        "The run waits for a worker, which goes on with it: `NAME`. `penstock worker start -p default` starts one; "
        "to go on here instead, `penstock flow-run cancel NAME` first"
    )


def test_a_run_that_a_worker_has_is_not_gone_on_with_by_hand_until_it_has_told_of_its_end(plant: Plant):
    run = plant.create()
    plant.claim()
    plant.begin(run, 1)
    plant.end(run, 1, "FAILED", "Failed")

    assert refused(plant, run).startswith("Worker `w1` has not done with this run: `NAME`. ")
    plant.exit(run, 1)
    with plant.store.reading() as tx:
        by_hand.refuse_if_others(tx, overview.flow_run(tx, run))


def test_a_run_that_is_retried_or_that_its_worker_gave_back_is_not_gone_on_with_by_hand(plant: Plant):
    retried = fail(plant)
    plant.ask(RetryFlowRun(run=retried))
    given_back = plant.create()
    (claim,) = [each for each in plant.claim(limit=2) if each.run_id == given_back]
    plant.begin(given_back, claim.attempt)
    plant.exit(given_back, claim.attempt, ExitReason.DRAINED)

    assert plant.state(given_back) == "Resuming"
    assert refused(plant, given_back).startswith("The run waits for a worker")
    assert refused(plant, retried).startswith("Worker `w1` has not done")


def test_a_suspended_run_is_left_to_workers_until_it_is_cancelled(plant: Plant):
    run = plant.create()
    plant.ask(SuspendFlowRun(run=run))
    told = refused(plant, run)
    plant.cancel(run)

    assert told.startswith(
        "The run is suspended, and a worker goes on with it: `NAME`. `penstock flow-run resume NAME`"
    )
    with plant.store.reading() as tx:
        by_hand.refuse_if_others(tx, overview.flow_run(tx, run))


# ── while a process executes it by hand ──────────────────────────────────────────────────────────────────────────────


def test_whose_worker_had_it_is_not_told_any_more(plant: Plant):
    run = fail(plant)
    before = plant.run(run)
    resume(plant, run)
    now = plant.run(run)

    assert (before.worker, before.is_by_hand) == ("w1", False)
    assert (now.state_name, now.attempt, now.worker, now.is_by_hand) == ("Running", 2, None, True)


def test_a_worker_that_goes_on_with_it_later_is_told(plant: Plant):
    run = fail(plant)
    resume(plant, run)
    plant.end(run, 2, "FAILED", "Failed")
    plant.ask(RetryFlowRun(run=run))
    (claim,) = plant.claim()
    plant.begin(run, claim.attempt)
    now = plant.run(run)

    assert (claim.attempt, now.state_name, now.worker, now.is_by_hand) == (3, "Running", "w1", False)


def test_it_is_cancelling_until_its_process_has_ended_it(plant: Plant):
    run = fail(plant)
    resume(plant, run)
    asked = plant.ask(CancelFlowRun(run=run, by="ada"))
    interrupt(plant, run)
    ended = plant.run(run)

    assert (asked.state_name, asked.worker) == ("Cancelling", None)
    assert (ended.state_name, ended.state_message) == ("Cancelled", "Cancelled by ada")


def test_its_process_is_looked_for_when_it_is_cancelled(plant: Plant):
    run = fail(plant)
    resume(plant, run)
    other = plant.create()
    plant.claim()
    plant.begin(other, 1)
    plant.cancel(run)
    plant.cancel(other)

    assert Ender(plant.home).run_once(plant.store).gone == (run,)
    assert (plant.state(run), plant.state(other)) == ("Cancelled", "Cancelling")


def test_it_is_cancelled_and_has_not_crashed_when_its_process_is_found_dead_after_that(plant: Plant):
    run = fail(plant)
    resume(plant, run)
    plant.cancel(run)
    lost = records.ProcessLost(plant.now(), run, 2, "Process 4242 on host died")
    plant.store.run(lambda tx: record(tx, run, lost, attempt=2))

    assert (plant.state(run), plant.run(run).crashes) == ("Cancelled", 0)


def test_it_is_interrupted_by_who_stops_its_process_and_is_crashed_when_that_dies(plant: Plant):
    stopped, died = fail(plant), fail(plant)
    resume(plant, stopped)
    resume(plant, died)
    interrupt(plant, stopped)
    plant.store.run(lambda tx: mark_lost(tx, died, 2, at=tx.now, reason="Its process died"))

    assert (plant.state(stopped), plant.state(died)) == ("Interrupted", "Crashed")


def test_no_other_end_is_given_to_it_before_it_has_ended(plant: Plant):
    run = fail(plant)
    resume(plant, run)

    with pytest.raises(errors.AlreadyRunning, match="A process may be executing this run"):
        plant.ask(SetFlowRunState(run=run, type=StateType.FAILED))

    interrupt(plant, run)
    assert plant.ask(SetFlowRunState(run=run, type=StateType.COMPLETED)).state_name == "Completed"


def test_another_end_is_given_to_it_when_it_has_suspended_itself(plant: Plant):
    run = fail(plant)
    resume(plant, run)
    plant.tell(run, 2, records.FlowRunMoved(plant.now(), run, "PAUSED", "Suspended"))

    assert plant.ask(SetFlowRunState(run=run, type=StateType.FAILED)).state_name == "Failed"
    assert plant.ask(GetFlowRun(run=run)).is_final
