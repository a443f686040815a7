from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.orchestration.plant import Plant
from tests.orchestration.test_scheduling import every_minute

from penstock.core import records
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import task_runs as of_tasks
from penstock.core.operations import work as of_work
from penstock.core.operations import work_pools as of_pools
from penstock.core.operations.concurrency_limits import BookSlots, CreateConcurrencyLimit
from penstock.core.runs import Reason
from penstock.core.slots import Policy
from penstock.core.work import ExitReason
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plant(clock: FakeClock) -> Iterator[Plant]:
    """There is a worker `w1` of the default pool, and a deployment `etl/nightly`."""
    with SqliteStore.in_memory(clock) as store:
        plant = Plant(store)
        plant.deploy()
        plant.start_worker(host="atlas")
        yield plant


def why(plant: Plant, run: str) -> list[tuple[str, str]]:
    """The kinds of reasons, and what they say, besides the state."""
    return [(each.kind, each.message) for each in reasons(plant, run)]


def reasons(plant: Plant, run: str) -> list[Reason]:
    return [each for each in plant.ask(of_runs.ExplainFlowRun(run=run)).reasons if each.kind != "state"]


def test_a_run_of_the_future_tells_when_it_is_due(plant: Plant):
    run = plant.create(in_seconds=2 * 3600 + 180.5)

    ((kind, message),) = why(plant, run)
    assert kind == "scheduled"
    assert message == "It is due at 2030-01-01 02:03:00 UTC, in 2 h 3 min."


def test_a_run_that_nothing_keeps_is_about_to_start(plant: Plant):
    assert why(plant, plant.create()) == [("unclaimed", "Nothing keeps it: a worker claims it at any moment.")]


def test_whatever_keeps_a_run_from_being_claimed_is_told_together(plant: Plant):
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="slow", paused=True))
    plant.ask(of_pools.UpdateWorkPool(pool="default", paused=True))
    plant.start_worker("w1", queues=("default",))
    run = plant.create(work_queue="slow")

    assert why(plant, run) == [
        ("pool_paused", "The work pool `default` is paused: `penstock work-pool resume default` undoes that."),
        ("queue_paused", "The work queue `slow` is paused: `penstock work-queue resume slow -p default` undoes that."),
        (
            "no_worker",
            "No worker that is online serves the queue `slow`: `penstock worker start -p default -q slow` starts one.",
        ),
    ]


def test_a_pool_without_a_worker_is_told(plant: Plant):
    plant.ask(of_work.RetireWorker(worker_id="w1"))

    assert why(plant, plant.create()) == [
        ("no_worker", "No worker of the pool `default` is online: `penstock worker start -p default` starts one.")
    ]


def test_a_worker_that_was_killed_claims_nothing(plant: Plant, clock: FakeClock):
    clock.advance(20)

    ((kind, message),) = why(plant, plant.create())
    assert kind == "no_worker"
    assert message.startswith("No worker of the pool `default` is online: `penstock worker start -p default` starts")
    assert message.endswith("`w1` was not heard of since 2030-01-01 00:00:00 UTC.")


@pytest.mark.parametrize(
    ("limit", "kind", "what"),
    [
        (of_pools.UpdateWorkPool(pool="default", concurrency_limit=1), "pool_full", "work pool `default`"),
        (
            of_pools.SaveWorkQueue(pool="default", queue="default", concurrency_limit=1),
            "queue_full",
            "work queue `default`",
        ),
    ],
    ids=["pool", "queue"],
)
def test_a_limit_that_is_reached_is_told_with_who_fills_it(plant: Plant, limit: Any, kind: str, what: str):
    first = plant.create(name="otter")
    plant.claim()
    plant.ask(limit)
    run = plant.create()

    (reason,) = reasons(plant, run)
    assert (reason.kind, reason.message) == (kind, f"Its {what} has at most 1 run under way at once: `otter`.")
    assert reason.details == {"limit": 1, "runs": [first]}


def test_the_limit_of_a_deployment_is_told(plant: Plant):
    plant.deploy("limited", concurrency_limit=1)
    plant.create("etl/limited", name="otter")
    plant.claim()

    assert why(plant, plant.create("etl/limited")) == [
        ("deployment_full", "Its deployment has at most 1 run under way at once: `otter`.")
    ]


def test_workers_that_are_full_are_told(plant: Plant):
    plant.start_worker("w1", limit=1)
    plant.create()
    plant.claim()

    assert why(plant, plant.create()) == [
        ("workers_full", "Each worker that could take it executes as many runs as it may: `w1` (1).")
    ]


def test_the_place_in_the_queue_is_told(plant: Plant):
    plant.create()
    plant.create(priority=-1)
    run = plant.create(priority=1)

    assert why(plant, run) == [("position", "2 runs of the queue `default` come before it.")]


def test_a_run_that_its_schedule_holds_back_tells_for_whom(plant: Plant, clock: FakeClock):
    plant.deploy("often", every_minute(policy=Policy(overlap="queue_one")))
    plant.schedule()
    clock.advance(60)
    plant.schedule()
    (first,) = plant.claim()
    clock.advance(60)
    plant.schedule()
    held = plant.ask(of_runs.ListFlowRuns(deployment="etl/often")).items[0]

    assert why(plant, held.id) == [
        ("held", f"Runs of the schedule `default` do not overlap: it starts when `{first.name}` has ended.")
    ]


def test_a_run_that_keeps_crashing_tells_when_it_goes_on(plant: Plant):
    run = plant.create()
    for attempt in (1, 2):
        plant.claim()
        plant.begin(run, attempt)
        plant.exit(run, attempt, ExitReason.CRASHED)

    ((kind, message),) = [each for each in why(plant, run) if each[0] == "resuming"]
    assert kind == "resuming"
    assert message.endswith("the longer, the more attempts ended without progress (2 so far).")


def test_a_run_that_was_lost_with_its_workers_tells_when_it_goes_on(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in (1, 2):
        clock.advance(120)
        timed.claim()
        timed.begin(run, attempt)
        timed.exit(run, attempt, ExitReason.LOST)

    ((_, message),) = [each for each in why(timed, run) if each[0] == "resuming"]
    assert message.endswith("the longer, the more often a worker was lost or lacked its code (2).")


def test_a_claimed_run_tells_of_its_worker(plant: Plant, clock: FakeClock):
    run = plant.create()
    plant.claim()
    at_once = why(plant, run)
    clock.advance(20)
    later = why(plant, run)

    assert at_once == [("claimed", "Worker `w1` on atlas has claimed it, and is about to start it.")]
    assert later[1] == (
        "worker_silent",
        "Worker `w1` on atlas was not heard of for 20 s. In 10 s the run is given to another one.",
    )


def test_a_run_that_is_being_cancelled_tells_by_whom_and_since_when(plant: Plant):
    run = plant.create()
    plant.claim()
    plant.begin(run, 1)
    plant.cancel(run)

    (reason,) = [each for each in reasons(plant, run) if each.kind == "cancelling"]
    assert reason.message.startswith(
        "It was cancelled by ada at 00:00:00 UTC. Worker `w1` on atlas is ending its processes"
    )
    assert reason.details["worker"] == "w1"


def test_a_run_that_waits_for_a_slot_tells_of_whom(plant: Plant):
    plant.ask(CreateConcurrencyLimit(name="db", limit=1))
    holds, waits = plant.create(name="otter"), plant.create(name="newt")
    plant.claim(limit=2)
    for run in (holds, waits):
        plant.begin(run, 1)
    at = plant.now()
    task = f"{waits}/load-0"
    plant.tell(
        waits,
        1,
        records.TaskDefined(0, "etl.load", "load"),
        records.TaskRunBegan(at, task, waits, waits, 0, "load-0"),
        records.TaskRunMoved(at + 1, task, "SCHEDULED", "AwaitingConcurrencySlot", "Waits"),
    )
    plant.ask(BookSlots(booking="a", owner="a", limits=("db",), run_id=holds, attempt=1))
    plant.ask(
        BookSlots(
            booking="b", owner="b", limits=("db",), run_id=waits, attempt=1, task_run_id=task, task_run_name="load-0"
        )
    )

    (reason,) = [each for each in reasons(plant, waits) if each.kind == "slot"]
    (of_task,) = [each for each in plant.ask(of_tasks.ExplainTaskRun(task_run=task)).reasons if each.kind == "slot"]
    expected = "Task run `load-0` waits for a slot of `db`, held by run `otter` since 00:00:00 UTC."
    assert (reason.message, of_task.message) == (expected, expected)
    assert (reason.details["holders"], reason.details["limits"]) == ([holds], ["db"])


def test_a_run_that_nobody_keeps_slots_for_tells_what_it_recorded(plant: Plant):
    run = plant.create()
    plant.claim()
    plant.begin(run, 1)
    at = plant.now()
    plant.tell(
        run,
        1,
        records.TaskDefined(0, "etl.load", "load"),
        records.TaskRunBegan(at, "t", run, run, 0, "load-0"),
        records.TaskRunMoved(at + 1, "t", "RUNNING", "AwaitingConcurrencySlot", "Waits for a slot of `db`"),
    )

    assert why(plant, run) == [("slot", "Task run `load-0`: Waits for a slot of `db`.")]


def test_a_run_that_has_ended_waits_for_nothing(plant: Plant):
    run = plant.create()
    plant.ask(of_deployments.PauseDeployment(deployment="etl/nightly"))
    plant.claim()
    plant.begin(run, 1)
    plant.end(run, 1)
    plant.exit(run, 1)

    assert why(plant, run) == []
