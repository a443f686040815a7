from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.orchestration.plant import Plant, names

from penstock import errors
from penstock.core import records
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import pauses as of_pauses
from penstock.core.operations import work as of_work
from penstock.core.operations import work_pools as of_pools
from penstock.core.states import StateType
from penstock.core.work import MAX_CRASHES, MAX_LOSSES, ExitReason
from penstock.orchestration import rescue, run_keys
from penstock.orchestration.fold import Outcome
from penstock.testing import FakeClock

# ── claims ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_scheduled_then_claimed_then_runs_then_completes(plant: Plant):
    run = plant.create(parameters={"month": 3}, name="march")
    seen = [plant.state(run)]
    (claim,) = plant.claim()
    seen.append(plant.state(run))
    plant.begin(run, 1)
    seen.append(plant.state(run))
    plant.end(run, 1)
    plant.exit(run, 1)

    assert seen == ["Scheduled", "Pending", "Running"]
    assert plant.state(run) == "Completed"
    assert (claim.name, claim.attempt, claim.job.parameters, claim.deployment) == (
        "march",
        1,
        {"month": 3},
        "etl/nightly",
    )
    ended = plant.run(run)
    assert (ended.name, ended.worker, ended.work_pool, ended.parameters) == ("march", "w1", "default", {"month": 3})


def test_nothing_is_claimed_twice(plant: Plant):
    made = {plant.create() for _ in range(40)}
    workers = [plant.start_worker(f"w{number}") for number in range(4)]

    def claim_all(worker: str) -> list[str]:
        claimed: list[str] = []
        while found := plant.claim(worker, limit=3):
            claimed += [each.run_id for each in found]
        return claimed

    with ThreadPoolExecutor(4) as pool:
        claimed = [run for runs in pool.map(claim_all, workers) for run in runs]

    assert Counter(claimed) == Counter(made)


def test_runs_are_claimed_by_priority_of_queue_then_of_run_then_by_time(plant: Plant):
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="slow", priority=5))
    plant.ask(of_pools.SaveWorkQueue(pool="default", queue="fast", priority=1))
    now = plant.now()
    plant.create(name="slow", work_queue="slow", due_at=now - 9_000_000)
    plant.create(name="later", work_queue="fast", due_at=now - 1_000_000)
    plant.create(name="sooner", work_queue="fast", due_at=now - 5_000_000)
    plant.create(name="urgent", work_queue="fast", priority=-1)

    assert names(plant.claim(limit=9)) == ["urgent", "sooner", "later", "slow"]


def test_a_run_is_not_claimed_before_it_is_due(timed: Plant, clock: FakeClock):
    timed.create(in_seconds=60)
    before = timed.claim()
    clock.advance(61)

    assert before == []
    assert len(timed.claim()) == 1


def test_a_worker_of_some_queues_claims_from_these_only(plant: Plant):
    plant.create(name="other")
    plant.create(name="mine", work_queue="etl-night")
    plant.start_worker("w2", queues=("etl-day",), queue_prefixes=("etl-n",))

    assert names(plant.claim("w2", limit=9)) == ["mine"]


@pytest.mark.parametrize(
    "pause",
    [
        of_pools.UpdateWorkPool(pool="default", paused=True),
        of_pools.SaveWorkQueue(pool="default", queue="default", paused=True),
    ],
    ids=["pool", "queue"],
)
def test_what_is_paused_hands_out_nothing(plant: Plant, pause: Any):
    plant.create()
    plant.ask(pause)

    assert plant.claim() == []


@pytest.mark.parametrize("limited", ["pool", "queue", "deployment"])
def test_no_more_runs_are_under_way_than_a_limit_allows(plant: Plant, limited: str):
    if limited == "pool":
        plant.ask(of_pools.UpdateWorkPool(pool="default", concurrency_limit=2))
    elif limited == "queue":
        plant.ask(of_pools.SaveWorkQueue(pool="default", queue="default", concurrency_limit=2))
    else:
        plant.deploy(concurrency_limit=2)
    for _ in range(5):
        plant.create()

    first = plant.claim(limit=9)
    none = plant.claim(limit=9)
    plant.begin(first[0].run_id, 1)
    plant.end(first[0].run_id, 1)
    plant.exit(first[0].run_id, 1)
    second = plant.claim(limit=9)

    assert (len(first), none, len(second)) == (2, [], 1)


def test_a_deployment_at_its_limit_does_not_hold_up_others(plant: Plant):
    plant.deploy("crowded", concurrency_limit=1)
    for number in range(3):
        plant.create("etl/crowded", name=f"crowded-{number}")
    plant.create(name="free")

    assert names(plant.claim(limit=9)) == ["crowded-0", "free"]


def test_a_worker_of_another_type_is_refused(plant: Plant):
    with pytest.raises(errors.UsageError, match="is for workers of type `process`, not: `docker`"):
        plant.start_worker("w2", type="docker")


def test_an_unknown_pool_is_refused_and_one_that_is_near_is_named(plant: Plant):
    plant.ask(of_pools.CreateWorkPool(name="etl-pool"))

    with pytest.raises(errors.NotFound, match="There is no work pool: `etl-pol`") as refused:
        plant.start_worker("w2", pool="etl-pol")
    assert refused.value.hint == "did you mean `etl-pool`?"


def test_a_worker_that_nobody_knows_has_to_register_again(plant: Plant):
    with pytest.raises(errors.NotFound, match="No worker has the id: `w9`"):
        plant.claim("w9")


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def claimed(plant: Plant, **options: Any) -> str:
    """A run that is under way in its first attempt."""
    run = plant.create(**options)
    plant.claim()
    plant.begin(run, 1)
    return run


def test_a_run_whose_process_died_goes_on_in_the_next_attempt(plant: Plant):
    run = claimed(plant)
    plant.finish_task(run, 1, "load-0")

    state = plant.exit(run, 1, ExitReason.CRASHED, message="Killed by signal 9")
    (claim,) = plant.claim()

    assert (state, claim.attempt) == ("Resuming", 2)
    assert plant.run(run).crashes == 1
    assert "flow_run.crashed" not in plant.events(run)


def test_with_on_crash_fail_a_run_whose_process_died_has_crashed(plant: Plant):
    plant.deploy(on_crash="fail")
    run = claimed(plant)

    assert plant.exit(run, 1, ExitReason.CRASHED) == "Crashed"
    assert plant.claim() == []


def begin_late(plant: Plant, clock: FakeClock, run: str, attempt: int) -> None:
    """Have the next attempt begin, whatever pause comes before it."""
    clock.advance(120)
    plant.claim()
    plant.begin(run, attempt)


def test_after_three_crashes_without_progress_a_run_is_set_aside(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_CRASHES + 1):
        begin_late(timed, clock, run, attempt)
        timed.exit(run, attempt, ExitReason.CRASHED, message="Killed by signal 11")

    ended = timed.run(run)
    assert (ended.state_type, ended.state_name) == (StateType.CRASHED, "Poison")
    assert ended.state_message == "Set aside after 3 crashes without progress. The last: Killed by signal 11"
    assert timed.claim() == []


def test_a_run_that_was_set_aside_and_is_retried_may_crash_as_often_again(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_CRASHES + 1):
        begin_late(timed, clock, run, attempt)
        timed.exit(run, attempt, ExitReason.CRASHED)
    retried = timed.ask(of_runs.RetryFlowRun(run=run))
    states: list[str] = []
    for attempt in range(MAX_CRASHES + 1, 2 * MAX_CRASHES + 1):
        begin_late(timed, clock, run, attempt)
        states.append(timed.exit(run, attempt, ExitReason.CRASHED, message="Killed by signal 11"))

    assert (retried.state_name, retried.crashes) == ("AwaitingRetry", 0)
    assert states == [*["Resuming"] * (MAX_CRASHES - 1), "Poison"]
    assert timed.run(run).state_message == ("Set aside after 3 crashes without progress. The last: Killed by signal 11")


def test_a_task_of_before_the_retry_that_is_told_of_late_brings_no_crash_back(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_CRASHES + 1):
        begin_late(timed, clock, run, attempt)
        timed.exit(run, attempt, ExitReason.CRASHED)
    timed.ask(of_runs.RetryFlowRun(run=run))
    timed.finish_task(run, MAX_CRASHES, "load")

    assert timed.run(run).crashes == 0


def test_attempts_that_ended_with_what_was_around_them_are_no_crashes_of_the_run(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_CRASHES + 2):
        begin_late(timed, clock, run, attempt)
        timed.exit(run, attempt, ExitReason.LOST)
    clock.advance(120)
    timed.claim()

    assert timed.exit(run, MAX_CRASHES + 2, ExitReason.CRASHED) == "Resuming"
    assert timed.run(run).crashes == 1


def test_a_run_that_ends_what_is_around_it_again_and_again_is_set_aside_in_the_end(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, 2 * MAX_LOSSES - 1):
        begin_late(timed, clock, run, attempt)
        if attempt < MAX_LOSSES:
            timed.finish_task(run, attempt, f"load-{attempt}")
        timed.exit(run, attempt, ExitReason.LOST, message="Worker w1 was not heard of")

    ended = timed.run(run)
    assert (ended.state_name, ended.attempt) == ("Poison", 2 * MAX_LOSSES - 2)
    assert ended.state_message == (
        "Set aside after 10 attempts without progress that ended with what was around them. "
        "The last: Worker w1 was not heard of"
    )


def lack(plant: Plant, clock: FakeClock, run: str, worker_id: str) -> str:
    """This worker is the next that takes the run, and lacks its code."""
    clock.advance(70)
    for each in ("w1", "w2"):
        plant.heartbeat(each)
    (claim,) = plant.claim(worker_id)
    return plant.exit(run, claim.attempt, ExitReason.LACKING, worker_id=worker_id, message="no such folder")


def test_a_run_whose_only_worker_lacks_its_code_is_set_aside_after_three_attempts(timed: Plant, clock: FakeClock):
    timed.deploy(on_crash="fail")  # which is about processes that die, and there was none
    run = timed.create()

    found = []
    for _ in range(3):
        clock.advance(20)
        (claim,) = timed.claim()
        found.append(timed.exit(run, claim.attempt, ExitReason.LACKING, message="no such folder"))

    assert found == ["Resuming", "Resuming", "Poison"]
    assert timed.run(run).state_message == "Set aside after 3 attempts without progress. The last: no such folder"


def test_a_run_whose_code_some_workers_lack_waits_for_those_that_are_busy(timed: Plant, clock: FakeClock):
    timed.start_worker("w2")
    run = timed.create()

    found = [lack(timed, clock, run, "w1") for _ in range(MAX_LOSSES)]

    assert found == ["Resuming"] * (MAX_LOSSES - 1) + ["Poison"]


def test_what_was_done_before_a_run_was_suspended_counts_as_progress(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_LOSSES + 2):
        begin_late(timed, clock, run, attempt)
        if attempt == MAX_LOSSES:
            timed.finish_task(run, attempt, "load")
            timed.ask(of_pauses.SuspendFlowRun(run=run))
            timed.exit(run, attempt, ExitReason.DRAINED)
            timed.ask(of_pauses.ResumeFlowRun(run=run))
        else:
            timed.exit(run, attempt, ExitReason.LOST)

    assert timed.run(run).state_name == "Resuming"


def test_a_task_that_completed_counts_as_progress(timed: Plant, clock: FakeClock):
    run = timed.create()
    for attempt in range(1, MAX_CRASHES + 3):
        begin_late(timed, clock, run, attempt)
        timed.finish_task(run, attempt, f"load-{attempt}")
        timed.exit(run, attempt, ExitReason.CRASHED)

    assert timed.state(run) == "Resuming"


def test_a_drained_run_goes_on_at_once_and_no_crash_is_counted(plant: Plant):
    run = claimed(plant)
    plant.end(run, 1, "CRASHED", "Interrupted")

    state = plant.exit(run, 1, ExitReason.DRAINED)

    assert state == "Resuming"
    assert plant.run(run).crashes == 0
    assert [each.attempt for each in plant.claim()] == [2]
    assert "flow_run.crashed" not in plant.events(run)


def test_a_worker_that_retires_lets_its_runs_go(plant: Plant):
    run = claimed(plant)
    plant.ask(of_work.RetireWorker(worker_id="w1"))
    plant.start_worker("w2")

    assert [each.run_id for each in plant.claim("w2")] == [run]


def test_a_superseded_attempt_records_nothing_and_is_told_to_end(plant: Plant):
    run = claimed(plant)
    plant.exit(run, 1, ExitReason.CRASHED)
    refused = plant.finish_task(run, 1, "late")
    plant.claim()

    assert refused.outcome is Outcome.SUPERSEDED
    assert plant.heartbeat("w1", (run, 1), (run, 2)) == ["superseded", "go_on"]
    with plant.store.reading() as tx:
        assert tx.task_runs.rows([f"{run}/late"]) == []


def test_an_exit_that_is_told_twice_or_too_late_changes_nothing(plant: Plant):
    run = claimed(plant)
    plant.exit(run, 1, ExitReason.CRASHED)
    again = plant.exit(run, 1, ExitReason.CRASHED)
    plant.claim()
    late = plant.exit(run, 1, ExitReason.CANCELLED)

    assert (again, late) == ("Resuming", "Pending")


def test_a_worker_cannot_tell_of_another_ones_run(plant: Plant):
    run = claimed(plant)
    plant.start_worker("w2")

    assert plant.exit(run, 1, ExitReason.CRASHED, worker_id="w2") == "Running"


def test_a_run_that_exceeded_its_time_has_failed(plant: Plant):
    run = claimed(plant)

    assert plant.exit(run, 1, ExitReason.TIMED_OUT, message="Exceeded its timeout of 5 seconds") == "TimedOut"
    assert plant.run(run).state_type is StateType.FAILED


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_waiting_run_is_cancelled_at_once(plant: Plant):
    run = plant.create()

    assert plant.cancel(run).state_name == "Cancelled"
    assert plant.claim() == []


def test_a_run_under_way_is_cancelled_when_its_processes_are_gone(plant: Plant):
    run = claimed(plant)
    cancelling = plant.cancel(run).state_name
    orders = [each.run_id for each in plant.ask(of_work.AwaitOrders(worker_id="w1"))]
    verdicts = plant.heartbeat("w1", (run, 1))
    plant.end(run, 1, "CRASHED", "Interrupted")
    between = plant.state(run)

    assert (cancelling, orders, verdicts, between) == ("Cancelling", [run], ["cancel"], "Cancelling")
    assert plant.exit(run, 1, ExitReason.CANCELLED) == "Cancelled"
    assert [each for each in plant.events(run) if each.endswith(("cancelled", "crashed", "completed"))] == [
        "flow_run.cancelled"
    ]


def test_runs_of_deployments_that_a_run_has_called_are_cancelled_with_it(plant: Plant):
    caller = claimed(plant)
    plant.begin(caller, 1)
    subflow = "01920001-0000-7000-8000-00000000000f"
    at = plant.now()
    plant.tell(caller, 1, records.FlowRunBegan(at, subflow, 1, "part", "part", "1", "", {}, parent_flow_run_id=caller))
    under_way = plant.create(parent_flow_run_id=subflow, priority=1)
    assert [each.run_id for each in plant.claim()] == [under_way]
    plant.begin(under_way, 1)
    called_by_it = plant.create(parent_flow_run_id=under_way)
    waiting, of_nobody = plant.create(parent_flow_run_id=caller), plant.create()

    plant.cancel(caller)

    assert plant.state(under_way) == "Cancelling"
    assert {plant.state(each) for each in (called_by_it, waiting)} == {"Cancelled"}
    assert plant.run(waiting).state_message == "Cancelled by ada"
    assert plant.state(of_nobody) == "Scheduled"


def test_a_run_that_is_cancelled_calls_no_deployment_any_more(plant: Plant):
    caller = claimed(plant)
    plant.begin(caller, 1)
    called = plant.create(parent_flow_run_id=caller, idempotency_key="once")
    plant.cancel(caller)

    assert plant.create(parent_flow_run_id=caller, idempotency_key="once") == called
    with pytest.raises(errors.AlreadyEnded, match="was cancelled"):
        plant.create(parent_flow_run_id=caller)


def test_a_run_that_retries_while_it_is_cancelled_stays_cancelling(plant: Plant):
    run = claimed(plant)
    plant.cancel(run)
    plant.tell(run, 1, records.FlowRunMoved(plant.now(), run, "RUNNING", "Retrying", None, 2))

    assert plant.state(run) == "Cancelling"


def test_a_run_that_completes_before_it_is_gone_has_completed(plant: Plant):
    run = claimed(plant)
    plant.cancel(run)
    plant.end(run, 1)

    assert plant.exit(run, 1, ExitReason.CANCELLED) == "Completed"


def test_cancelling_twice_is_cancelling_once_and_what_has_ended_stays(plant: Plant):
    run = plant.create()
    plant.cancel(run)
    again = plant.cancel(run)
    (other,) = [plant.create()]
    plant.work_off()

    assert again.state_name == "Cancelled"
    with pytest.raises(errors.AlreadyEnded, match="is Completed"):
        plant.cancel(other)


def test_a_run_whose_worker_died_while_it_was_cancelled_is_cancelled(timed: Plant, clock: FakeClock):
    run = claimed(timed)
    timed.cancel(run)
    timed.rescue()
    for _ in range(20):
        clock.advance(2)
        timed.rescue()

    assert timed.state(run) == "Cancelled"


def test_completing_and_cancelling_at_the_same_time_gives_one_end(plant: Plant):
    for _ in range(10):
        run = claimed(plant)

        def cancel(run: str = run) -> None:
            try:
                plant.cancel(run)
            except errors.AlreadyEnded:
                return

        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(cancel), pool.submit(plant.end, run, 1)]
            for each in both:
                each.result()
        plant.exit(run, 1, ExitReason.CANCELLED)

        ends = [each for each in plant.events(run) if each in ("flow_run.cancelled", "flow_run.completed")]
        assert len(ends) == 1
        assert plant.run(run).is_final


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_failed_can_be_retried_and_goes_on_in_a_new_attempt(plant: Plant):
    run = claimed(plant)
    plant.end(run, 1, "FAILED", "Failed")
    plant.exit(run, 1)

    state = plant.ask(of_runs.RetryFlowRun(run=run, by="ada")).state_name
    (claim,) = plant.claim()

    assert (state, claim.attempt) == ("AwaitingRetry", 2)


def test_a_worker_that_hands_a_run_over_as_it_stops_is_not_given_it_again_by_a_question_of_before(plant: Plant):
    run = claimed(plant)
    plant.start_worker("w2")

    handed = of_work.ReportExit(run_id=run, worker_id="w1", attempt=1, reason=ExitReason.DRAINED, draining=True)
    plant.ask(handed)
    asked_before = plant.claim("w1")
    plant.heartbeat("w1")  # which was under way, and did not know yet that it stops
    asked_after = plant.claim("w1")

    assert (asked_before, asked_after) == ([], [])
    assert [each.run_id for each in plant.claim("w2")] == [run]


def test_the_history_of_a_workers_run_tells_what_it_waited_for_and_how_it_went_on(plant: Plant):
    run = claimed(plant)
    plant.exit(run, 1, ExitReason.CRASHED, message="Killed by signal 9")
    plant.claim()
    plant.begin(run, 2)
    plant.end(run, 2)

    told = [(each.name, each.message) for each in plant.ask(of_runs.ListFlowRunStates(run=run))]

    assert told == [
        ("Scheduled", None),
        ("Pending", "Claimed by worker w1"),
        ("Running", None),
        ("Resuming", "Killed by signal 9"),
        ("Pending", "Claimed by worker w1"),
        ("Running", None),
        ("Completed", None),
    ]


def test_a_run_is_retried_though_its_queue_was_deleted_and_not_without_its_pool(plant: Plant):
    plant.ask(of_pools.CreateWorkPool(name="gpu"))
    plant.start_worker("g", pool="gpu")
    deployment = plant.deploy("large", work_pool="gpu", work_queue="slow")
    run = plant.create(deployment)
    plant.claim("g", pool="gpu")
    plant.end(run, 1, "FAILED", "Failed")
    plant.exit(run, 1, worker_id="g")

    plant.ask(of_pools.DeleteWorkQueue(pool="gpu", queue="slow"))
    plant.ask(of_runs.RetryFlowRun(run=run))
    (claim,) = plant.claim("g", pool="gpu")
    plant.end(run, 2, "FAILED", "Failed")
    plant.exit(run, 2, worker_id="g")
    plant.ask(of_deployments.DeleteDeployment(deployment=deployment))
    plant.ask(of_pools.DeleteWorkPool(pool="gpu"))

    assert claim.run_id == run
    with pytest.raises(errors.NotFound, match="no work pool: `gpu`"):
        plant.ask(of_runs.RetryFlowRun(run=run))


def test_why_a_run_was_cancelled_is_said_once_it_is(plant: Plant):
    run = claimed(plant)

    plant.ask(of_runs.CancelFlowRun(run=run, by="ada", message="not today"))

    assert plant.exit(run, 1, ExitReason.CANCELLED) == "Cancelled"
    assert plant.run(run).state_message == "not today"


def test_a_run_that_completed_is_not_retried(plant: Plant):
    run = plant.create()
    plant.work_off()

    with pytest.raises(errors.AlreadyEnded, match="has completed"):
        plant.ask(of_runs.RetryFlowRun(run=run))


def test_a_clock_of_the_workers_machine_that_is_an_hour_off_changes_nothing(plant: Plant):
    for skew in (-3600, 3600):
        run = plant.create()
        plant.claim()
        at = plant.now() + skew * 1_000_000

        plant.begin(run, 1, at=at)
        plant.cancel(run)
        plant.tell(run, 1, records.FlowRunEnded(at + 1, run, "COMPLETED", "Completed"))

        assert plant.exit(run, 1, ExitReason.CANCELLED) == "Completed"


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_idempotency_key_gives_the_same_run(plant: Plant):
    first, again = (plant.create(idempotency_key="2026-11-25", parameters={"n": n}) for n in (1, 2))
    plant.deploy("other")

    assert first == again
    assert plant.create("etl/other", idempotency_key="2026-11-25") != first


def test_an_idempotency_key_used_by_many_at_once_makes_one_run(plant: Plant):
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: plant.create(idempotency_key="once"), range(16)))

    assert len(made) == 1


def test_a_runs_key_is_good_while_its_attempt_is_under_way(plant: Plant):
    run = plant.create()
    (claim,) = plant.claim()

    def whose(key: str) -> object:
        with plant.store.reading() as tx:
            return run_keys.check(tx, key)

    good = whose(claim.key)
    forged = [whose(claim.key[:-1] + ("0" if claim.key[-1] != "0" else "1")), whose(claim.key.replace("_1_", "_2_"))]
    plant.exit(run, 1, ExitReason.CRASHED)

    assert good == (run, 1)
    assert forged == [None, None]
    assert [whose(key) for key in (claim.key, "", "prk", "prk_a_b_c", "prk_x_²_y", "psk_1_2_3")] == [None] * 6


# ── leases ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dead_worker_is_noticed_within_45_seconds(timed: Plant, clock: FakeClock):
    run = claimed(timed)
    waited = 0
    timed.rescue()
    while timed.state(run) == "Running":
        clock.advance(2)
        waited += 2
        timed.rescue()

    assert timed.state(run) == "Resuming"
    assert 28 <= waited <= 45


def test_a_worker_that_lives_keeps_its_runs(timed: Plant, clock: FakeClock):
    run = claimed(timed)
    for _ in range(60):
        clock.advance(2)
        timed.rescue()
        timed.heartbeat("w1", (run, 1))

    assert timed.run(run).attempt == 1


@pytest.mark.parametrize("jump", [600, 7200, 86400 * 365])
def test_an_outage_or_a_clock_that_jumps_ahead_makes_no_run_start_again(timed: Plant, clock: FakeClock, jump: int):
    run = claimed(timed)
    timed.rescue()
    clock.advance(jump)
    rescued = timed.rescue()

    assert (rescued.shifted, rescued.resumed) == (1, 0)
    assert timed.heartbeat("w1", (run, 1)) == ["go_on"]


def test_a_server_that_comes_and_goes_before_anybody_reaches_it_makes_no_run_start_again(
    timed: Plant, clock: FakeClock
):
    run = claimed(timed)
    timed.rescue()
    for _ in range(6):
        clock.advance(7)
        timed.rescue()
        clock.advance(1)
        timed.rescue()

    assert timed.heartbeat("w1", (run, 1)) == ["go_on"]


def test_after_an_outage_a_worker_that_is_dead_is_noticed_all_the_same(timed: Plant, clock: FakeClock):
    run = claimed(timed)
    timed.rescue()
    clock.advance(600)
    for _ in range(20):
        timed.rescue()
        clock.advance(2)

    assert "flow_run.resuming" in timed.events(run)


def test_a_clock_that_was_put_back_does_not_keep_a_dead_worker_alive(timed: Plant, clock: FakeClock):
    timed.rescue()
    clock.advance(86400 * 3)
    timed.rescue()
    run = claimed(timed)
    clock._now -= 86400 * 3 * 1_000_000
    waited = 0
    while timed.state(run) == "Running" and waited < 100:
        timed.rescue()
        clock.advance(2)
        waited += 2

    assert waited <= 45


def test_a_store_tells_whether_a_server_looks_after_it(timed: Plant, clock: FakeClock):
    told = [timed.store.ask(rescue.is_under_way)]
    timed.rescue()
    told.append(timed.store.ask(rescue.is_under_way))
    clock.advance(6)
    told.append(timed.store.ask(rescue.is_under_way))

    assert told == [False, True, False]


def test_a_worker_that_is_not_heard_of_is_silent_and_then_offline(timed: Plant, clock: FakeClock):
    (seen,) = timed.ask(of_pools.ListWorkers())
    told: list[str] = []
    worker = seen
    for _ in range(35):
        timed.rescue()
        clock.advance(2)
        (worker,) = timed.ask(of_pools.ListWorkers())
        told.append(worker.status)
    timed.heartbeat("w1")
    (again,) = timed.ask(of_pools.ListWorkers())

    assert (told[6], told[7], told[29], told[-1], again.status) == ("online", "silent", "silent", "offline", "online")
    assert seen.seen_at == worker.seen_at < again.seen_at


def test_after_an_outage_a_worker_was_seen_when_it_was_and_has_time_to_be_heard_of(timed: Plant, clock: FakeClock):
    (seen,) = timed.ask(of_pools.ListWorkers())
    timed.rescue()
    clock.advance(7200)
    told: list[tuple[str, int]] = []
    for _ in range(35):
        timed.rescue()
        (worker,) = timed.ask(of_pools.ListWorkers())
        told.append((worker.status, worker.seen_at))
        clock.advance(2)

    assert (told[0], told[29], told[-1][0]) == (("silent", seen.seen_at), ("silent", seen.seen_at), "offline")


def test_a_clock_that_was_put_back_does_not_keep_a_dead_worker_from_being_offline(timed: Plant, clock: FakeClock):
    clock.advance(86400)
    timed.rescue()
    clock.advance(60)
    timed.rescue()
    clock._now -= 86400 * 1_000_000
    for _ in range(35):
        timed.rescue()
        clock.advance(2)

    assert [each.status for each in timed.ask(of_pools.ListWorkers())] == ["offline"]


def test_a_run_that_nobody_claims_is_late(timed: Plant, clock: FakeClock):
    run = timed.create()
    clock.advance(6)
    marked = timed.rescue().late
    again = timed.rescue().late

    assert (marked, again, timed.state(run)) == (1, 0, "Late")
    assert [each.run_id for each in timed.claim()] == [run]


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_redeployment_does_not_change_the_runs_that_are_there(plant: Plant):
    plant.create(name="old")
    plant.deploy(infrastructure={"env": {"A": "1"}})
    plant.create(name="new")

    old, new = plant.claim(limit=2)
    assert (old.job.infrastructure, new.job.infrastructure) == ({}, {"env": {"A": "1"}})


@pytest.mark.parametrize("wrong", [{"imge": "x"}, {"env": 1}, {"type": "docker"}])
def test_job_variables_that_no_worker_could_use_are_refused_when_the_run_is_made(plant: Plant, wrong: dict[str, Any]):
    plant.deploy()

    with pytest.raises(errors.UsageError):
        plant.create(job_variables=wrong)
    assert plant.create(job_variables={"env": {"A": "1"}})


def test_job_variables_change_single_values_of_the_deployments_infrastructure(plant: Plant):
    plant.deploy(infrastructure={"env": {"A": "1", "B": "2"}, "working_dir": "/data"})
    plant.create(job_variables={"env.B": "3", "env": {"C": "4"}})

    (claim,) = plant.claim()

    assert claim.job.infrastructure == {"env": {"A": "1", "B": "3", "C": "4"}, "working_dir": "/data"}


def test_deleting_a_deployment_cancels_what_has_not_begun(plant: Plant):
    under_way = claimed(plant)
    waiting = plant.create()
    plant.ask(of_deployments.DeleteDeployment(deployment="etl/nightly"))

    assert (plant.state(under_way), plant.state(waiting)) == ("Running", "Cancelled")
    with pytest.raises(errors.NotFound, match="There is no deployment: `etl/nightly`"):
        plant.create()


def test_what_is_deleted_leaves_nothing(plant: Plant):
    run = plant.create(idempotency_key="k")
    plant.work_off()
    plant.ask(of_runs.DeleteFlowRun(run=run))

    with plant.store.reading() as tx:
        assert tx.work.look(run) is None
        assert tx.events.page(limit=10, run_ids=(run,)) == []
    assert plant.create(idempotency_key="k") != run
