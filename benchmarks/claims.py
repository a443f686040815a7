"""What it costs to claim runs in Postgres, beside the least that any queue in a table does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import RawCursor
from tests.postgres import cluster

from benchmarks.fold_postgres import DURABLE
from benchmarks.harness import Bench, Budget, Row, benchmark
from penstock.core.access import OWNER
from penstock.core.deployments import DeploymentSpec, LocalFolder
from penstock.core.operations.deployments import ApplyDeployment
from penstock.core.operations.work import ClaimFlowRuns, RegisterWorker
from penstock.core.work import LEASE_SECONDS
from penstock.orchestration import flow_runs
from penstock.orchestration.asking import answer
from penstock.orchestration.flow_runs import NewRun
from penstock.orchestration.handlers import answer as do
from penstock.store.postgres import PostgresStore
from penstock.store.postgres_session import target
from penstock.worker.worker import AT_ONCE

_BATCH = 250

_NEXT = """
SELECT run_id FROM bare
 WHERE status = 'waiting' AND work_pool = 'default' AND work_queue = 'default' AND due_at <= $1
 ORDER BY priority, due_at, run_id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_TAKE = """
UPDATE bare SET status = 'claimed', attempt = attempt + 1, worker_id = 'w', renewed_at = $1, lease_ends_at = $2
 WHERE run_id = ANY ($3)
"""
_AS_MUCH = (
    """
    INSERT INTO bare_journal_segment (run_id, attempt, writer, start_offset, end_offset, frames)
    VALUES ($1, 1, 'control', $2, $2 + 120, decode(repeat('ab', 120), 'hex'))
    """,
    """
    INSERT INTO bare_journal_cursor
           (run_id, attempt, writer, end_offset, clock, host, boot_id, pid, refused, definitions)
    VALUES ($1, 1, 'control', $2, $2, '', '', 0, 0, '')
        ON CONFLICT (run_id, attempt, writer) DO UPDATE SET end_offset = excluded.end_offset, clock = excluded.clock
    """,
    """
    UPDATE bare_flow_run
       SET state_type = CASE state_type WHEN 'PENDING' THEN 'SCHEDULED' ELSE 'PENDING' END, clock = $2, worker = 'w'
     WHERE id = $1
    """,
    """
    INSERT INTO bare_event (at, event, run_id, resource, payload)
    VALUES ($2, 'flow_run.pending', $1, decode(repeat('ab', 60), 'hex'), decode(repeat('ab', 60), 'hex'))
    """,
)
_LET_GO = "SET status = 'waiting', worker_id = NULL, renewed_at = NULL, lease_ends_at = NULL WHERE status = 'claimed'"


@benchmark("claims")
def claims(bench: Bench) -> Iterator[Row]:
    """Runs that are due, claimed by some workers at once until none is left; a worker without a limit asks for ten.

    The bare loop does ``SELECT … FOR UPDATE SKIP LOCKED LIMIT 1``, ``UPDATE`` and ``COMMIT`` on a table like ours, with
    as many connections as there are workers. "That writes as much" is the same loop with the rows that a claim writes
    besides: the record, the journal's cursor, the run's state, and the event.
    """
    with cluster(DURABLE) as running:
        url = running.new_database()
        with PostgresStore.open(url, write=True, connections=16) as store:
            _fill(store, bench.some(4000))
            with psycopg.connect(target(url), autocommit=True) as plain:
                plain.execute("CREATE TABLE bare (LIKE work INCLUDING ALL)")
                plain.execute("INSERT INTO bare SELECT * FROM work")
                for table in ("journal_segment", "journal_cursor", "flow_run", "event"):
                    plain.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)".encode())
                plain.execute("INSERT INTO bare_flow_run SELECT * FROM flow_run")
                for connections, limit in ((1, 1), (8, 1), (8, AT_ONCE), (8, 100)):
                    taken = bench.interleave(
                        {
                            "claimed": lambda n=connections, limit=limit: _ours(store, plain, n, limit),
                            "bare loop": lambda n=connections: _bare(url, plain, n, ()),
                            "that writes as much": lambda n=connections: _bare(url, plain, n, _AS_MUCH),
                        }
                    )
                    yield Row(
                        f"claims, {connections} at once, {limit} each",
                        "/s",
                        taken.pop("claimed"),
                        taken,
                        Budget(1 / 0.7, times="bare loop"),
                    )


def _fill(store: PostgresStore, runs: int) -> None:
    spec = DeploymentSpec(name="nightly", flow_name="etl", entrypoint="etl.py:etl", code=LocalFolder("/flows"))
    deployment_id = do(store, ApplyDeployment(spec=spec)).deployment.id
    do(store, RegisterWorker(id="w", name="w", pool="default"))
    for start in range(0, runs, _BATCH):
        with store.transaction() as tx:
            new = [
                NewRun(
                    spec=spec,
                    run_id=tx.new_id(),
                    queue=spec.work_queue,
                    deployment_id=deployment_id,
                    parameters={},
                    due_at=tx.now,
                    source="api",
                )
                for _ in range(start, min(start + _BATCH, runs))
            ]
            flow_runs.create(tx, new)


def _ours(store: PostgresStore, plain: psycopg.Connection[Any], threads: int, limit: int) -> float:
    _reset(plain, "work")

    def claim(_: int) -> int:
        found = answer(store, ClaimFlowRuns(worker_id="w", pool="default", limit=limit), by=OWNER)
        return found.items

    return _until_none_is_left(threads, claim)


def _bare(url: str, plain: psycopg.Connection[Any], threads: int, besides: Sequence[str]) -> float:
    _reset(plain, "bare")
    with ExitStack() as stack:
        sessions = [stack.enter_context(_session(url)) for _ in range(threads)]

        def claim(thread: int) -> int:
            session = sessions[thread]
            now = time.time_ns() // 1000
            session.execute("BEGIN")
            ids = [row[0] for row in session.execute(_NEXT, [now]).fetchall()]
            session.execute(_TAKE, [now, now + int(LEASE_SECONDS * 1e6), ids])
            for text in besides if ids else ():
                session.execute(text.encode(), [ids[0], now])
            session.execute("COMMIT")
            return len(ids)

        return _until_none_is_left(threads, claim)


@contextmanager
def _session(url: str) -> Generator[psycopg.Connection[Any]]:
    with psycopg.connect(target(url), autocommit=True, cursor_factory=RawCursor) as session:
        session.prepare_threshold = 0
        yield session


def _reset(plain: psycopg.Connection[Any], table: str) -> None:
    plain.execute(f"UPDATE {table} {_LET_GO}".encode())
    plain.execute(f"VACUUM ANALYZE {table}".encode())


def _until_none_is_left(threads: int, claim: Callable[[int], int]) -> float:
    """Seconds for each that was claimed."""
    counts = [0] * threads

    def work(thread: int) -> None:
        while found := claim(thread):
            counts[thread] += found

    started = time.perf_counter()
    every = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    return (time.perf_counter() - started) / sum(counts)
