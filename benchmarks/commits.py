"""What it costs to keep something for good, by one thread and by many at once."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count as numbers

from benchmarks.harness import Bench, Row, benchmark, seconds_each
from penstock.store.sqlite import SqliteStore


@benchmark("commits")
def commits(bench: Bench) -> Iterator[Row]:
    """Small transactions into SQLite, each synced before it is acknowledged; beside bare ones, one after the other."""
    stores = numbers()
    count = bench.some(3000)
    bare = sqlite3.connect(bench.folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)")

    def one_by_one() -> None:
        for number in range(count):
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"name-{number % 100}", str(number)))
            bare.execute("COMMIT")

    for threads in (1, 8, 32):
        with SqliteStore.open(bench.folder / f"store-{next(stores)}.db", write=True) as store:

            def put(thread: int, each: int = count // threads, store: SqliteStore = store) -> None:
                for number in range(each):
                    with store.transaction() as tx:
                        tx.meta.put(f"{thread}-{number % 100}", str(number))

            taken = bench.interleave(
                {
                    "committed": lambda threads=threads, put=put: (
                        _together(threads, put) / (count // threads * threads)
                    ),
                    "bare commit": lambda: seconds_each(count, one_by_one),
                }
            )
        yield Row(f"transactions, {threads} threads", "/s", taken.pop("committed"), taken)
    bare.close()


def _together(threads: int, work: Callable[[int], object]) -> float:
    started = time.perf_counter()
    every = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    return time.perf_counter() - started
