from __future__ import annotations

from datetime import timedelta

from tests.orchestration.plant import Plant

from penstock.core.deployments import ScheduleSpec
from penstock.core.operations import deployments as of_deployments
from penstock.core.operations import flow_runs as of_runs
from penstock.core.operations import pauses as of_pauses
from penstock.core.schedules import Interval
from penstock.core.slots import Overlap, Policy
from penstock.core.work import ExitReason
from penstock.store.deployments import as_json
from penstock.store.interface import Transaction
from penstock.testing import FakeClock


def every_minute(overlap: Overlap) -> ScheduleSpec:
    return ScheduleSpec(name="default", schedule=Interval(timedelta(minutes=1)), policy=Policy(overlap=overlap))


def one_under_way_and_one_that_waits(plant: Plant, clock: FakeClock) -> tuple[str, str]:
    plant.deploy("nightly", every_minute("queue_one"))
    plant.schedule_for(2, clock)
    (first,) = plant.claim(limit=9)
    plant.begin(first.run_id, 1)
    (second,) = {each.run_id for each in slots(plant) if each.run_id is not None} - {first.run_id}
    return first.run_id, second


def slots(plant: Plant) -> list[of_deployments.Slot]:
    return plant.ask(of_deployments.ListSlots(deployment="etl/nightly", limit=200)).items


def suspend_and_resume(plant: Plant, run: str) -> None:
    plant.ask(of_pauses.SuspendFlowRun(run=run, by="ada"))
    plant.ask(of_pauses.ResumeFlowRun(run=run, by="ada"))


def end(plant: Plant, run: str, attempt: int = 1) -> None:
    plant.end(run, attempt)
    plant.exit(run, attempt)


def end_unseen(plant: Plant, run: str) -> None:
    """The run ends while another server, which has not seen that yet, decides that the next one is to wait for it."""

    def lay_down(tx: Transaction) -> None:
        work = tx.work.row(run)
        assert work is not None
        work.let_go("done")
        tx.work.save(work)

    plant.store.run(lay_down)


def allow_unseen(plant: Plant) -> None:
    """Runs may overlap from now on, while another server still decides by what held before."""

    def change(tx: Transaction) -> None:
        deployment = tx.deployments.named("etl", "nightly")
        assert deployment is not None
        (row,) = tx.schedules.of([deployment.id])
        row.spec = as_json(every_minute("allow"))
        tx.schedules.save([row])

    plant.store.run(change)


def claimed(plant: Plant) -> list[str]:
    return [each.run_id for each in plant.claim(limit=9)]


def reasons(plant: Plant, run: str) -> list[str]:
    return [each.kind for each in plant.ask(of_runs.ExplainFlowRun(run=run)).reasons]


def test_a_run_that_waits_its_turn_waits_on_when_it_was_suspended_and_resumed(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    for _ in range(2):
        suspend_and_resume(timed, second)
    while_first_goes_on = claimed(timed)
    why = reasons(timed, second)
    end(timed, first)

    assert while_first_goes_on == []
    assert "held" in why
    assert claimed(timed) == [second]


def test_a_run_keeps_its_place_among_those_that_wait_when_it_was_suspended_and_resumed(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    timed.ask(of_pauses.SuspendFlowRun(run=second))
    clock.advance(60)
    timed.schedule()
    timed.ask(of_pauses.ResumeFlowRun(run=second))
    end(timed, first)

    assert claimed(timed) == [second]


def test_a_run_whose_turn_came_while_it_was_suspended_starts_when_it_is_resumed(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    timed.ask(of_pauses.SuspendFlowRun(run=second))
    end(timed, first)
    while_suspended = claimed(timed)
    timed.ask(of_pauses.ResumeFlowRun(run=second))

    assert while_suspended == []
    assert claimed(timed) == [second]


def test_a_run_waits_for_an_earlier_one_that_crashed_meanwhile(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    timed.exit(first, 1, ExitReason.CRASHED)
    suspend_and_resume(timed, second)

    assert claimed(timed) == [first]


def test_a_run_under_way_goes_on_when_it_is_resumed_whoever_waits_for_it(timed: Plant, clock: FakeClock):
    first, _ = one_under_way_and_one_that_waits(timed, clock)
    timed.ask(of_pauses.SuspendFlowRun(run=first))
    timed.exit(first, 1, ExitReason.DRAINED)
    timed.ask(of_pauses.ResumeFlowRun(run=first))

    assert claimed(timed) == [first]


def test_runs_that_wait_start_when_their_schedule_lets_runs_overlap(timed: Plant, clock: FakeClock):
    _, second = one_under_way_and_one_that_waits(timed, clock)
    topics: set[str] = set()
    stop = timed.store.subscribe(topics.update)
    timed.ask(of_deployments.SaveSchedule(deployment="etl/nightly", schedule=every_minute("allow")))
    stop()

    assert "work:default" in topics
    assert claimed(timed) == [second]


def test_runs_that_wait_go_on_waiting_while_their_schedule_lets_none_overlap(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    timed.ask(of_deployments.SaveSchedule(deployment="etl/nightly", schedule=every_minute("skip")))
    before = claimed(timed)
    end(timed, first)

    assert before == []
    assert claimed(timed) == [second]


def test_all_that_wait_start_at_the_next_end_of_a_run_of_a_schedule_that_lets_runs_overlap(
    timed: Plant, clock: FakeClock
):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    allow_unseen(timed)
    clock.advance(60)
    timed.schedule()
    (third,) = claimed(timed)
    end(timed, first)

    assert third != second
    assert claimed(timed) == [second]


def test_a_run_that_waits_for_none_starts_when_the_next_time_of_its_schedule_comes(timed: Plant, clock: FakeClock):
    first, second = one_under_way_and_one_that_waits(timed, clock)
    end_unseen(timed, first)
    before = claimed(timed)
    clock.advance(60)
    timed.schedule()

    assert before == []
    assert claimed(timed) == [second]
