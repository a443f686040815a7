from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock.core.deployments import ScheduleSpec
from penstock.core.operations import deployments as ask
from penstock.core.schedules import Cron, Interval
from penstock.core.slots import Policy
from penstock.orchestration import scheduling
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock

MINUTE = 60_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plant(clock: FakeClock) -> Iterator[Plant]:
    with SqliteStore.in_memory(clock) as store:
        plant = Plant(store)
        plant.start_worker()
        yield plant


def every_minute(name: str = "default", **options: Any) -> ScheduleSpec:
    return ScheduleSpec(name=name, schedule=Interval(timedelta(minutes=1)), **options)


def runs(plant: Plant) -> list[int]:
    """The slots that have become runs, in order."""
    return sorted(slot.slot for slot in slots(plant) if slot.run_id is not None)


def slots(plant: Plant) -> list[ask.Slot]:
    return plant.ask(ask.ListSlots(deployment="etl/nightly", limit=200)).items


def test_each_slot_becomes_one_run_when_it_is_due(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute(parameters={"a": 1}))
    nothing = plant.schedule()
    for _ in range(6):
        clock.advance(20)
        plant.schedule()

    assert nothing.runs == 0
    assert len(runs(plant)) == 2
    assert [each.job.parameters for each in plant.claim(limit=9)] == [{"a": 1}] * 2


def test_it_says_when_there_is_something_to_do_again(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute())
    by_slot = plant.schedule().next_at
    plant.create(in_seconds=5)
    by_run = plant.schedule().next_at

    assert by_slot is not None
    assert by_run is not None
    assert by_slot % MINUTE == 0
    assert by_run < by_slot


def test_pools_are_woken_when_a_waiting_run_becomes_due(plant: Plant, clock: FakeClock):
    woken: list[str] = []
    plant.deploy()
    plant.create(in_seconds=5)
    plant.schedule()
    plant.store.subscribe(lambda topics: woken.extend(sorted(topics)))
    clock.advance(5)
    plant.schedule()

    assert "work:default" in woken


def test_schedulers_that_race_for_a_thousand_slots_make_each_run_once(tmp_path: Path, clock: FakeClock):
    with SqliteStore.open(tmp_path / "penstock.db", write=True, clock=clock) as store:
        plant = Plant(store)
        policy = Policy(catchup="all", limit=1000, window=timedelta(days=2), batch=100, pace=timedelta(0))
        plant.deploy("nightly", every_minute(policy=policy))
        clock.advance(minutes=1000)
        with ThreadPoolExecutor(3) as pool:
            for _ in range(12):
                list(pool.map(lambda _: scheduling.run_once(store), range(3)))
                clock.advance(1)

        with store.reading() as tx:
            found = tx.schedules.slots(
                plant.ask(ask.GetDeployment(deployment="etl/nightly")).id, schedule=None, before=1 << 60, limit=5000
            )
        made = [each.run_id for each in found if each.run_id]
        assert len(made) == len(set(made)) == 1000


def test_of_missed_slots_the_latest_runs_and_the_others_say_why_not(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute())
    plant.schedule()
    clock.advance(hours=24)
    plant.schedule()

    assert len(runs(plant)) == 1
    (missed,) = [each for each in slots(plant) if each.run_id is None]
    assert missed.reason == "not_latest"
    assert missed.last - missed.slot == (missed.count or 0) * MINUTE - MINUTE or missed.count is None


@pytest.mark.parametrize(("jump", "most"), [({"hours": 2}, 1), ({"days": 365}, 1)])
def test_a_clock_that_jumps_and_comes_back_makes_no_run_twice_and_the_schedule_lives(
    plant: Plant, clock: FakeClock, jump: dict[str, float], most: int
):
    plant.deploy("nightly", every_minute())
    for _ in range(3):
        clock.advance(60)
        plant.schedule()
    before = runs(plant)
    clock.advance(**jump)
    plant.schedule()
    ahead = runs(plant)
    clock._now -= timedelta(**jump) // timedelta(microseconds=1)
    plant.schedule_for(3, clock)
    after = runs(plant)

    assert len(ahead) - len(before) <= most
    assert len(after) == len(set(after))
    assert len(after) - len(ahead) >= 2


def test_a_redeployment_in_the_second_in_which_a_slot_is_due_neither_repeats_nor_loses_it(
    plant: Plant, clock: FakeClock
):
    plant.deploy("nightly", every_minute())
    plant.schedule()
    clock.advance(61)
    plant.schedule()
    plant.deploy("nightly", every_minute(), description="again")
    plant.schedule()
    clock.advance(60)
    plant.deploy("nightly", every_minute(), tags=("x",))
    plant.schedule()

    assert len(runs(plant)) == 2


def test_what_was_paused_was_not_missed(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute(policy=Policy(catchup="all")))
    plant.schedule()
    plant.ask(ask.PauseDeployment(deployment="etl/nightly"))
    clock.advance(minutes=10)
    plant.schedule()
    plant.ask(ask.ResumeDeployment(deployment="etl/nightly"))
    plant.schedule()
    clock.advance(60)
    plant.schedule()

    assert len(runs(plant)) == 1


def test_a_paused_schedule_makes_no_runs_and_another_one_does(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute("a"), every_minute("b"))
    plant.ask(ask.PauseSchedule(deployment="etl/nightly", schedule="a"))
    clock.advance(61)
    plant.schedule()

    assert [each.schedule for each in slots(plant)] == ["b"]


def test_with_overlap_skip_a_slot_does_not_run_while_an_earlier_run_is_unfinished(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute(policy=Policy(overlap="skip")))
    plant.schedule_for(2, clock)

    assert [each.reason for each in slots(plant)] == ["still_running", None]


def test_with_overlap_queue_one_a_run_waits_and_starts_when_the_earlier_one_has_ended(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute(policy=Policy(overlap="queue_one")))
    plant.schedule_for(2, clock)
    (first,) = plant.claim(limit=9)
    plant.begin(first.run_id, 1)
    plant.end(first.run_id, 1)
    plant.exit(first.run_id, 1)
    second = plant.claim(limit=9)

    assert len(second) == 1
    assert second[0].run_id != first.run_id


def test_with_overlap_cancel_running_the_earlier_run_is_cancelled(plant: Plant, clock: FakeClock):
    plant.deploy("nightly", every_minute(policy=Policy(overlap="cancel_running")))
    plant.schedule()
    clock.advance(60)
    plant.schedule()
    (first,) = plant.claim(limit=9)
    plant.begin(first.run_id, 1)
    clock.advance(60)
    plant.schedule()

    assert plant.state(first.run_id) == "Cancelling"


def test_parameters_that_do_not_fit_any_more_are_told_and_others_run(plant: Plant, clock: FakeClock):
    schema = {"title": "Parameters", "type": "object", "properties": {"month": {"type": "integer"}}, "required": []}
    plant.deploy("nightly", every_minute(), parameter_schema=schema)
    found = plant.ask(ask.GetDeployment(deployment="etl/nightly"))
    with plant.store.transaction() as tx:  # as an older version may have let it in
        row = tx.schedules.of([found.id])[0]
        row.spec = row.spec.replace(b'"parameters":{}', b'"parameters":{"month":"may"}')
        tx.schedules.save([row])
    plant.schedule()
    clock.advance(61)
    plant.schedule()

    (slot,) = slots(plant)
    assert (slot.run_id, slot.reason) == (None, "parameters")
    trouble = plant.ask(ask.GetDeployment(deployment="etl/nightly")).schedules[0].trouble
    assert trouble is not None
    assert "month" in trouble


def test_the_next_times_are_told_in_the_zone_of_the_schedule(plant: Plant):
    plant.deploy("nightly", ScheduleSpec(schedule=Cron("0 6 * * *", "Europe/Berlin")))
    first = plant.ask(ask.PreviewOccurrences(deployment="etl/nightly", count=2))[0]

    assert (first.local, first.timezone) == ("2030-01-01T06:00:00+01:00", "Europe/Berlin")


def test_a_schedule_that_has_come_to_its_end_is_not_looked_at_any_more(plant: Plant, clock: FakeClock):
    from penstock.core.schedules import Once

    plant.deploy("nightly", ScheduleSpec(schedule=Once.of(clock.time + timedelta(seconds=30))))
    clock.advance(31)
    done = plant.schedule()

    assert (done.runs, done.next_at) == (1, None)
