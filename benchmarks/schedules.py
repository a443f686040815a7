"""Whether the scheduler keeps up: runs of many schedules, all of which are due at the same moments."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import timedelta

from tests.postgres import cluster

from benchmarks.fold_postgres import DURABLE
from benchmarks.harness import Bench, Budget, Row, benchmark
from penstock.clock import SYSTEM
from penstock.core.deployments import DeploymentSpec, LocalFolder, ScheduleSpec
from penstock.core.operations.deployments import ApplyDeployment
from penstock.core.schedules import Interval
from penstock.orchestration.handlers import answer
from penstock.services.loop import running
from penstock.services.scheduler import Scheduler
from penstock.store.interface import Store
from penstock.store.postgres import PostgresStore
from penstock.store.sqlite import SqliteStore

SCHEDULES = 1000
DEPLOYMENTS = 20
EVERY_SECONDS = 6
"""Each has ten runs in a minute."""


@benchmark("schedules")
def schedules(bench: Bench) -> Iterator[Row]:
    """A thousand schedules, each due every 6 s at the same instants, for a minute: how late its run was made."""
    with cluster(DURABLE) as postgres:
        stores: dict[str, AbstractContextManager[Store]] = {
            "SQLite": SqliteStore.open(bench.folder / "store.db", write=True),
            "Postgres": PostgresStore.open(postgres.new_database(), write=True),
        }
        for name, opened in stores.items():
            with opened as store:
                late, spent = _minute(store, 12 if bench.is_quick else 60)
            yield Row(f"schedules on {name}: {len(late):,} runs, the latest", "ms", [max(late)], budget=Budget(2.0))
            yield Row(f"schedules on {name}: CPU of each run, without the database's", "µs", [spent / len(late)])


def _minute(store: Store, seconds: int) -> tuple[list[float], float]:
    """How late each run was made, in seconds, and the CPU time that this process took for all of them."""
    for number in range(DEPLOYMENTS):
        each = tuple(
            ScheduleSpec(name=f"schedule-{place}", schedule=Interval(timedelta(seconds=EVERY_SECONDS)))
            for place in range(SCHEDULES // DEPLOYMENTS)
        )
        spec = DeploymentSpec(
            name=f"nightly-{number}",
            flow_name="etl",
            entrypoint="etl.py:etl",
            code=LocalFolder("/flows"),
            schedules=each,
        )
        answer(store, ApplyDeployment(spec=spec))
    with store.reading() as tx:
        started = tx.now  # what was due before that is late because nobody was there
    before = os.times()
    with running([Scheduler(store)], store, SYSTEM):
        threading.Event().wait(seconds)
    after = os.times()
    late: list[float] = []
    with store.reading() as tx:
        for columns, rows in tx.tables.rows("flow_run"):
            created_at, due_at = columns.index("created_at"), columns.index("due_at")
            late += [(row[created_at] - row[due_at]) / 1e6 for row in rows if row[due_at] >= started]
    return late, after.user + after.system - before.user - before.system
