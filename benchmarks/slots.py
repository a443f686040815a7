"""What it costs to take a slot of a limit where there is no server, and what tags cost that nobody limits."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Bench, Budget, Row, benchmark, seconds_each
from penstock import concurrency, flow, settings, task
from penstock.clock import SYSTEM
from penstock.core.operations.concurrency_limits import CreateConcurrencyLimit
from penstock.sdk import connect


@task
def bare() -> None:
    return


@task(tags=["free"])
def tagged() -> None:
    return


@flow
def takes(count: int) -> float:
    """Takes a slot, and gives it back, so often; returns the seconds that each time took."""

    def take() -> None:
        for _ in range(count):
            with concurrency("db"):
                pass

    return seconds_each(count, take)


@flow
def calls(count: int, *, with_tag: bool) -> float:
    def call() -> None:
        for _ in range(count):
            (tagged if with_tag else bare)()

    return seconds_each(count, call)


@benchmark("slots")
def slots(bench: Bench) -> Iterator[Row]:
    """A slot that is a locked file, against the lock alone; and a task with a tag, against one without."""
    for name in ("db", "tag:other"):
        with connect.asking(settings.load(), SYSTEM) as orchestrator:
            orchestrator.ask(CreateConcurrencyLimit(name=name, limit=4))
    count = bench.some(5_000)
    taken = bench.interleave(
        {
            "slot": lambda: takes(count),
            "open, lock and unlock a file": lambda: _locks(bench.folder / "lock", count),
        }
    )
    yield Row("take a slot and give it back, no server", "/s", taken.pop("slot"), taken, Budget(1 / 5_000))
    called = bench.interleave(
        {"tagged": lambda: calls(count, with_tag=True), "a task without a tag": lambda: calls(count, with_tag=False)}
    )
    yield Row("a task with a tag that nobody limits", "/s", called.pop("tagged"), called, Budget(1 / 20_000))


def _locks(path: Path, count: int) -> float:
    def lock() -> None:
        for _ in range(count):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    return seconds_each(count, lock)
