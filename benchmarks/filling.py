"""A store that looks as if years had passed: any number of runs and task runs, made in minutes.

``python -m benchmarks.filling HOME --runs 1000000 --tasks 10`` writes them into the SQLite store of a home of their
own; with ``--postgres`` into a Postgres cluster in its folder ``postgres``.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from msgspec.structs import astuple
from tests.postgres import cluster

from penstock.clock import uuid7
from penstock.core import records
from penstock.core.deployments import DeploymentSpec, Job, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment
from penstock.core.operations.work_pools import SaveWorkQueue
from penstock.core.records import AnyRecord
from penstock.core.timestamps import as_datetime
from penstock.journal import frames
from penstock.orchestration.fold import START
from penstock.orchestration.handlers import answer
from penstock.orchestration.projection import Projection
from penstock.sdk.fake_clock import FakeClock
from penstock.store.deployments import SlotRow
from penstock.store.interface import Store
from penstock.store.postgres import PostgresStore
from penstock.store.postgres_session import target
from penstock.store.rows import CursorRow, EventRow, FlowRow, LogRow, TaskRow, pack
from penstock.store.sqlite import SqliteStore
from penstock.store.work import WorkRow, job_to_json

STATES = (
    (("COMPLETED", "Completed"),) * 92
    + (("FAILED", "Failed"),) * 6
    + (("CRASHED", "Crashed"), ("CANCELLED", "Cancelled"))
)
_WAITS = ("SCHEDULED", "Scheduled")
_BY_ITSELF = ("COMPLETED", "FAILED")
FLOWS = tuple(f"flow-{number:02}" for number in range(40))
TAGS = ("nightly", "taxi", "eu", "finance")
RARE = "urgent"
"""A tag, and a queue, of one run in 5,000."""
WAITING = 200
"""So many of the newest runs no worker has claimed yet."""
PORTION = 2000
BEGINNING = 1_700_000_000_000_000
GAP = 60_000_000
"""A run a minute, in microseconds."""

LOADING = {"fsync": "off", "shared_buffers": "1GB", "max_wal_size": "16GB", "maintenance_work_mem": "1GB"}
"""Settings under which a cluster is filled. It is measured under others."""

Rows = dict[str, list[tuple[Any, ...]]]
"""Rows by table."""

_COLUMNS: dict[str, tuple[str, ...]] = {
    "journal_segment": ("run_id", "attempt", "writer", "start_offset", "end_offset", "frames"),
    "journal_cursor": CursorRow.__struct_fields__,
    "flow_run": FlowRow.__struct_fields__,
    "flow_run_tag": ("tag", "created_at", "flow_run_id"),
    "task_run": TaskRow.__struct_fields__,
    "task_run_count": ("flow_run_id", "state_type", "state_name", "task_runs"),
    "log": LogRow._fields,
    "event": EventRow._fields,
    "slot": SlotRow.__struct_fields__,
    "work": WorkRow.__struct_fields__,
}


def fill(store: Store, runs: int, tasks: int) -> None:
    """Write so many runs of deployments into a new store, each with so many task runs and all that belongs to it.

    It is what the fold would make of the runs' journals, which are there as well: `fsck` finds nothing wrong. Rows go
    the way of a restored backup, which with Postgres is COPY.
    """
    chance = random.Random(1)
    deployments = _deploy(store)
    answer(store, SaveWorkQueue(pool="default", queue=RARE))
    for start in range(0, runs, PORTION):
        some = [_run(number, runs, deployments, chance) for number in range(start, min(start + PORTION, runs))]
        rows: Rows = {table: [] for table in _COLUMNS}
        for run in some:
            _add(rows, run, tasks)
        with store.transaction(long=True) as tx:
            for table, columns in _COLUMNS.items():
                tx.tables.load(table, columns, rows[table])
            tx.flow_runs.count_flows(Counter(run.flow for run in some))


class _Run(NamedTuple):
    number: int
    id: str
    flow: str
    deployment_id: str
    state: tuple[str, str]
    at: int
    ended_at: int

    @property
    def name(self) -> str:
        return f"brisk-otter-{self.number}"

    @property
    def is_rare(self) -> bool:
        return self.number % 5000 == 7

    @property
    def tags(self) -> tuple[str, ...]:
        return (TAGS[self.number % 2], TAGS[2 + self.number % 2]) + (RARE,) * self.is_rare

    @property
    def queue(self) -> str:
        return RARE if self.is_rare else "default"

    @property
    def parameters(self) -> dict[str, int]:
        return {"month": self.number % 12 + 1}


def _deploy(store: Store) -> list[str]:
    """A deployment of each flow, applied before its first run; their ids."""
    with SqliteStore.in_memory(FakeClock(as_datetime(BEGINNING - GAP))) as first:
        specs = [
            DeploymentSpec(name="nightly", flow_name=flow, entrypoint="flows.py:flow", code=LocalFolder("/flows"))
            for flow in FLOWS
        ]
        ids = [answer(first, ApplyDeployment(spec=spec)).deployment.id for spec in specs]
        with first.reading() as tx, store.transaction() as into:
            for columns, rows in tx.tables.rows("deployment"):
                into.tables.load("deployment", columns, rows)
    return ids


def _run(number: int, runs: int, deployments: Sequence[str], chance: random.Random) -> _Run:
    at = BEGINNING + number * GAP
    flow = chance.randrange(len(FLOWS))
    return _Run(
        number,
        uuid7(at // 1000, chance.randbytes(10)),
        FLOWS[flow],
        deployments[flow],
        _WAITS if number >= runs - WAITING else chance.choice(STATES),
        at,
        at + 200_000 + int(chance.expovariate(1 / 30e6)),
    )


def _add(rows: Rows, run: _Run, tasks: int) -> None:
    """The rows of a run: what its journals say, and what is left of its slot and its work."""
    cursors: dict[str, CursorRow] = {}
    flow_rows: Iterable[FlowRow] = ()
    task_rows: Iterable[TaskRow] = ()
    for writer, said in (("control", _created(run)), ("main", _said(run, tasks)), ("control", _ended(run))):
        if not said:
            continue
        cursor = cursors.setdefault(writer, CursorRow(run.id, 1, writer, START, 0, "", "", 0, 0, b""))
        told = Projection(run_id=run.id, attempt=1, clock=cursor.clock, flow_rows=flow_rows, task_rows=task_rows)
        for each in said:
            told.apply(each)
        data = b"".join(frames.frame(records.encode(each)) for each in said)
        start, cursor.end_offset = cursor.end_offset, cursor.end_offset + len(data)
        cursor.clock = told.clock
        cursor.definitions = pack([*told.tasks.values()])
        rows["journal_segment"].append((run.id, 1, writer, start, cursor.end_offset, data))
        rows["log"] += told.logs
        rows["event"] += told.events
        flow_rows, task_rows = told.flow_rows.values(), told.task_rows.values()
    rows["journal_cursor"] += map(astuple, cursors.values())
    rows["flow_run"] += map(astuple, flow_rows)
    rows["flow_run_tag"] += [(tag, run.at, run.id) for tag in run.tags]
    rows["task_run"] += map(astuple, task_rows)
    counts = Counter((run.id, row.state_type, row.state_name) for row in task_rows)
    rows["task_run_count"] += [(*state, count) for state, count in counts.items()]
    rows["slot"].append((run.deployment_id, "every", run.at, run.at, 1, run.id, None))
    rows["work"].append(astuple(_work(run)))


def _created(run: _Run) -> list[AnyRecord]:
    created = records.FlowRunCreated(
        at=run.at,
        flow_run_id=run.id,
        name=run.name,
        flow_name=run.flow,
        parameters=run.parameters,
        due_at=run.at,
        work_pool="default",
        work_queue=run.queue,
        entrypoint="flows.py:flow",
        flow_version="1",
        tags=run.tags,
        deployment_id=run.deployment_id,
        source="schedule",
    )
    if run.state == _WAITS:
        return [created]
    return [created, records.FlowRunDirected(run.at + 10_000, run.id, "PENDING", "Pending", worker="worker-1")]


def _said(run: _Run, tasks: int) -> list[AnyRecord]:
    if run.state == _WAITS:
        return []
    at = run.at + 100_000
    said: list[AnyRecord] = [
        records.JournalOpened(records.FORMAT, run.id, 1, "main", "host", "boot", 4242, at, "1"),
        records.FlowRunBegan(
            at, run.id, 1, run.name, run.flow, "1", "flows.py:flow", run.parameters, tags=run.tags, source="schedule"
        ),
        records.LogLine(at, run.id, None, 20, "penstock.flow", f"Loading month {run.parameters['month']}"),
        records.TaskDefined(0, "flows.load", "load"),
    ]
    for number in range(tasks):
        task = f"{run.id[:24]}{number:012x}"  # in the order of the runs, so that its index grows at its end
        began = at + number * 1000
        said.append(records.TaskRunBegan(began, task, run.id, run.id, 0, f"load-{number}"))
        if number < tasks - 1:
            said.append(records.TaskRunEnded(began + 900, task))
        elif run.state[0] in _BY_ITSELF:
            said.append(records.TaskRunEnded(began + 900, task, type=run.state[0], name=run.state[1]))
    if run.state[0] in _BY_ITSELF:
        said.append(records.FlowRunEnded(run.ended_at, run.id, *run.state))
    return said


def _ended(run: _Run) -> list[AnyRecord]:
    """What others say of the end of a run whose process has not told it."""
    if run.state == _WAITS or run.state[0] in _BY_ITSELF:
        return []
    is_crash = run.state[0] == "CRASHED"
    return [records.FlowRunDirected(run.ended_at, run.id, *run.state, "It is gone", lost=True, crashed=is_crash)]


def _work(run: _Run) -> WorkRow:
    job = Job(flow_name=run.flow, entrypoint="flows.py:flow", code=LocalFolder("/flows"), parameters=run.parameters)
    return WorkRow.unclaimed(
        run_id=run.id,
        status="waiting" if run.state == _WAITS else "done",
        work_pool="default",
        work_queue=run.queue,
        priority=0,
        due_at=run.at,
        attempt=0 if run.state == _WAITS else 1,
        deployment_id=run.deployment_id,
        schedule="every",
        on_crash="resume",
        job=job_to_json(job),
    )


def fill_home(home: Path, runs: int, tasks: int) -> None:
    """Fill the SQLite store of a new home."""
    home.mkdir(parents=True, exist_ok=True)
    with SqliteStore.open(home / "penstock.db", write=True) as store:
        fill(store, runs, tasks)


def fill_postgres(url: str, runs: int, tasks: int) -> None:
    """Fill an empty Postgres database, and do at once what autovacuum would do before long."""
    with PostgresStore.open(url, write=True) as store:
        fill(store, runs, tasks)
    with psycopg.connect(target(url), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.filling", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    started = time.perf_counter()
    if given.postgres:
        given.home.mkdir(parents=True, exist_ok=True)
        with cluster(LOADING, kept_in=given.home / "postgres") as running:
            fill_postgres(running.url("postgres"), given.runs, given.tasks)
    else:
        fill_home(given.home, given.runs, given.tasks)
    print(f"{given.runs:,} runs of {given.tasks} task runs: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
