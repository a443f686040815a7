"""What it costs to fold journals into the store."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from itertools import count as numbers

from benchmarks.harness import Bench, Budget, Row, benchmark, seconds_each
from benchmarks.tasks import loop
from penstock import clock, settings
from penstock.orchestration.catch_up import catch_up
from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore


@benchmark("fold")
def fold(bench: Bench) -> Iterator[Row]:
    """A journal into an empty store, against rows of the same size into a table with an index."""
    tasks = bench.some(20_000)
    loop(tasks)
    found = settings.load()
    records = 2 * tasks
    journal = next(found.journals.glob("*/*.journal"))
    row = journal.stat().st_size // records
    stores = numbers()

    def folded() -> float:
        store = SqliteStore.open(bench.folder / f"store-{next(stores)}.db", write=True)
        try:
            return seconds_each(records, lambda: fold_all(store, found, records))
        finally:
            store.close()

    def executemany() -> float:
        connection = sqlite3.connect(bench.folder / f"raw-{next(stores)}.db", isolation_level=None)
        try:
            return seconds_each(records, lambda: _insert(connection, records, row))
        finally:
            connection.close()

    taken = bench.interleave({"fold": folded, "raw executemany": executemany})
    yield Row("records folded into SQLite", "/s", taken.pop("fold"), taken, Budget(1 / 30_000))


def fold_all(store: Store, found: settings.Settings, records: int) -> None:
    """Fold all journals of the home, and see that none was left out."""
    caught_up = catch_up(found, store, clock.SYSTEM, remove=False)
    if caught_up.records < records:
        raise RuntimeError(f"{caught_up.records} of {records} records were folded: {caught_up.problems}")


def _insert(connection: sqlite3.Connection, count: int, size: int) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, at INTEGER, kind TEXT, payload BLOB)")
    payload = os.urandom(max(size - 50, 1))
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO records VALUES (?, ?, ?, ?)",
        (
            (f"{number * 2654435761 % (1 << 32):08x}-0000-8000-b000-{number:012x}", number, "t+", payload)
            for number in range(count)
        ),
    )
    connection.execute("COMMIT")
