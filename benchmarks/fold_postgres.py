"""What it costs to fold journals into Postgres."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
from tests.postgres import cluster

from benchmarks.fold import fold_all
from benchmarks.harness import Bench, Budget, Row, benchmark, seconds_each
from benchmarks.tasks import loop
from penstock import settings
from penstock.store.postgres import PostgresStore
from penstock.store.postgres_session import target

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "64MB"}


@benchmark("fold-postgres")
def fold_postgres(bench: Bench) -> Iterator[Row]:
    """A journal into an empty store, against rows of the same size: by executemany, and by COPY."""
    tasks = bench.some(10_000)
    loop(tasks)
    found = settings.load()
    records = 2 * tasks
    journal = next(found.journals.glob("*/*.journal"))
    size = journal.stat().st_size // records
    with cluster(DURABLE) as running:

        def folded() -> float:
            with PostgresStore.open(running.new_database(), write=True) as store:
                return seconds_each(records, lambda: fold_all(store, found, records))

        def bare(insert: str) -> float:
            with psycopg.connect(target(running.new_database())) as connection:
                return seconds_each(records, lambda: _insert(connection, insert, records, size))

        taken = bench.interleave(
            {
                "fold": folded,
                "raw executemany": lambda: bare("executemany"),
                "raw COPY": lambda: bare("copy"),
            }
        )
    yield Row("records folded into Postgres", "/s", taken.pop("fold"), taken, Budget(1 / 15_000))


def _insert(connection: psycopg.Connection, insert: str, count: int, size: int) -> None:
    connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, at BIGINT, kind TEXT, payload BYTEA)")
    payload = os.urandom(max(size - 50, 1))
    rows = (
        (f"{number * 2654435761 % (1 << 32):08x}-0000-8000-b000-{number:012x}", number, "t+", payload)
        for number in range(count)
    )
    with connection.cursor() as cursor:
        if insert == "executemany":
            cursor.executemany("INSERT INTO records VALUES (%s, %s, %s, %s)", rows)
        else:
            with cursor.copy("COPY records FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
    connection.commit()
