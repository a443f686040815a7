"""What a task, and a subflow, costs that is called in a loop and does nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.harness import Bench, Budget, Row, benchmark, seconds_each
from penstock import flow, task


@task
def nothing(number: int) -> int:
    return number


@flow
def inner(number: int) -> int:
    return number


@flow
def loop(count: int) -> float:
    """Calls the task so often; returns the seconds that each call took."""
    return seconds_each(count, lambda: bare_loop(count, nothing))


@flow
def loop_of_flows(count: int) -> float:
    """As `loop`, with a flow."""
    return seconds_each(count, lambda: bare_loop(count, inner))


def bare_loop(count: int, function: Callable[[int], int]) -> None:
    for number in range(count):
        function(number)


@benchmark("loop")
def loop_of_tasks(bench: Bench) -> Iterator[Row]:
    """A durable task, against what its record alone would cost in a file and in a database."""
    count = bench.some(10_000)
    loop(count)
    size = journals_size(bench.home) // count // 2
    taken = bench.interleave(
        {
            "task": lambda: loop(count),
            "a bare loop": lambda: seconds_each(count, lambda: bare_loop(count, nothing.fn)),
            f"2 raw appends of {size} bytes": lambda: _appends(bench.folder / "appended", count, size),
            "an SQLite insert, NORMAL": lambda: _inserts(bench.folder / "normal.db", "NORMAL", count, size),
            "an SQLite insert, FULL": lambda: _inserts(bench.folder / "full.db", "FULL", max(count // 20, 10), size),
        }
    )
    yield Row("a durable no-op task, called in a loop", "/s", taken.pop("task"), taken, Budget(1 / 20_000))


@benchmark("subflow")
def subflow(bench: Bench) -> Iterator[Row]:
    """A flow called in a flow, against a task and a function."""
    count = bench.some(1000)
    taken = bench.interleave(
        {
            "subflow": lambda: loop_of_flows(count),
            "a durable task": lambda: loop(count),
            "a bare loop": lambda: seconds_each(count, lambda: bare_loop(count, inner.fn)),
        }
    )
    yield Row("a subflow run", "µs", taken.pop("subflow"), taken, Budget(300e-6))


def latest_run(home: Path) -> str:
    """The id of the run that was begun last: later ids sort later."""
    return max(os.listdir(home / "journals"))


def journals_size(home: Path) -> int:
    """The bytes of all journals of a home."""
    return sum(path.stat().st_size for path in (home / "journals").glob("*/*.journal"))


def _appends(path: Path, count: int, size: int) -> float:
    data = os.urandom(size)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o600)

    def append() -> None:
        for _ in range(count):
            os.write(descriptor, data)
            os.write(descriptor, data)

    try:
        return seconds_each(count, append)
    finally:
        os.close(descriptor)


def _inserts(path: Path, synchronous: str, count: int, size: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS task_runs (id INTEGER PRIMARY KEY, payload BLOB)")
    data = os.urandom(2 * size)

    def insert() -> None:
        for _ in range(count):
            connection.execute("INSERT INTO task_runs (payload) VALUES (?)", (data,))

    try:
        return seconds_each(count, insert)
    finally:
        connection.close()
