from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.orchestration.plant import Plant

from penstock.core.deployments import ScheduleSpec
from penstock.core.schedules import Interval
from penstock.orchestration import flow_runs, scheduling
from penstock.services.rescuer import Rescuer
from penstock.services.scheduler import LONGEST_SECONDS, Scheduler
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plant(clock: FakeClock) -> Iterator[Plant]:
    with SqliteStore.in_memory(clock) as store:
        yield Plant(store)


def test_it_asks_to_be_called_when_the_next_slot_is_due(plant: Plant, clock: FakeClock):
    scheduler = Scheduler(plant.store)
    without = scheduler.run_once()
    plant.deploy("often", ScheduleSpec(schedule=Interval(timedelta(seconds=4))))
    with_one = scheduler.run_once()
    clock.advance(with_one)
    after_it = scheduler.run_once()

    assert without == LONGEST_SECONDS
    assert 3.9 < with_one <= 4
    assert 3.9 < after_it <= 4
    assert len(plant.store.run(lambda tx: tx.work.preview("default", None, tx.now, 9))) == 1


def test_the_time_that_it_took_itself_it_does_not_wait_again(
    plant: Plant, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    scheduler = Scheduler(plant.store)
    plant.deploy("often", ScheduleSpec(schedule=Interval(timedelta(seconds=4))))
    clock.advance(scheduler.run_once())
    create = flow_runs.create

    def slowly(*given: Any) -> None:
        create(*given)
        clock.advance(3)

    monkeypatch.setattr(flow_runs, "create", slowly)
    pause = scheduler.run_once()

    assert 0.9 < pause <= 1


def test_after_many_schedules_it_may_do_something_else_first(plant: Plant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scheduling, "BATCH", 1)
    every = [ScheduleSpec(name=f"{number}", schedule=Interval(timedelta(days=1))) for number in range(30)]
    plant.deploy("daily", *every)
    with plant.store.transaction() as tx:
        rows = [row for _, found in tx.tables.rows("deployment") for row in found]
        for row in (schedules := tx.schedules.of([rows[0][0]])):
            row.look_at = tx.now - 1
        tx.schedules.save(schedules)
    scheduler = Scheduler(plant.store)

    assert scheduler.run_once() == 0
    assert scheduler.run_once() > 0


def test_the_rescuer_looks_every_two_seconds(plant: Plant):
    assert Rescuer(plant.store).run_once() == 2
