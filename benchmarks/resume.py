"""What it costs to go on with a run whose tasks are finished."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.harness import Bench, Row, benchmark, seconds_each
from benchmarks.tasks import bare_loop, latest_run, nothing
from penstock import flow


class PowerCutError(Exception):
    pass


fails = True


@flow
def interrupted(count: int) -> None:
    for number in range(count):
        nothing(number)
    if fails:
        raise PowerCutError


@benchmark("resume")
def resume(bench: Bench) -> Iterator[Row]:
    """10,000 finished tasks are read back, none is executed; beside what executing them had cost."""
    count = bench.some(10_000)
    run_id = ""

    def first() -> float:
        nonlocal run_id
        started = time.perf_counter()
        interrupted(count, return_state=True)
        took = time.perf_counter() - started
        run_id = latest_run(bench.home)
        return took / count

    def again() -> float:
        global fails  # noqa: PLW0603  the cause of the failure is gone
        fails = False
        try:
            return seconds_each(count, lambda: interrupted.resume(run_id))
        finally:
            fails = True

    taken = bench.interleave(
        {
            "executing them": first,
            "resume": again,
            "a bare loop": lambda: seconds_each(count, lambda: bare_loop(count, nothing.fn)),
        }
    )
    yield Row(f"resuming: each of {count:,} finished tasks", "µs", taken.pop("resume"), taken)
