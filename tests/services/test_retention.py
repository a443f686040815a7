from __future__ import annotations

from pathlib import Path

import pytest
from tests.orchestration.plant import Plant

from penstock.core.access import OWNER
from penstock.core.operations.deployments import RunDeployment
from penstock.core.operations.flow_runs import ListFlowRuns
from penstock.orchestration import asking
from penstock.services.retention import FIRST_SECONDS, INTERVAL_SECONDS, Retention
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock


def test_what_is_old_is_forgotten_once_an_hour_and_not_at_the_start(home: Path):
    clock = FakeClock()
    settings = Settings(home=home, retention_days=30)
    with SqliteStore.in_memory(clock) as store:
        plant = Plant(store)
        plant.deploy()
        plant.start_worker()
        old = plant.create()
        plant.work_off()
        asking.answer(store, RunDeployment(deployment="etl/nightly", in_seconds=1e8), by=OWNER, key="k")
        clock.advance(31 * 86400)
        young = plant.create()
        plant.work_off()
        retention = Retention(store, settings, clock)

        assert retention.run_once() == FIRST_SECONDS
        assert old in {run.id for run in plant.ask(ListFlowRuns()).items}
        assert retention.run_once() == INTERVAL_SECONDS
        left = {run.id for run in plant.ask(ListFlowRuns()).items}
        assert old not in left
        assert young in left
        assert len(left) == 2, "what has not ended is never touched"
        assert asking.forget_answers(store) == 0, "it has done so already"


@pytest.mark.parametrize("runs", [0, 2])
def test_and_what_is_more_than_wanted(home: Path, runs: int):
    clock = FakeClock()
    with SqliteStore.in_memory(clock) as store:
        plant = Plant(store)
        plant.deploy()
        plant.start_worker()
        for _ in range(4):
            plant.create()
            plant.work_off()
        retention = Retention(store, Settings(home=home, retention_runs=runs), clock)
        retention.run_once()
        retention.run_once()

        assert len(plant.ask(ListFlowRuns()).items) == runs
