"""What mapped tasks cost: time beside a bare thread pool, and memory when there are many."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness import Bench, Budget, Row, Unit, benchmark, seconds_each
from penstock import ThreadPoolTaskRunner, flow, task

WORKERS = (1, 4, 32)
"""The last is the default of the thread runner."""


@task
def nothing(number: int) -> int:
    return number


@flow
def mapped(count: int) -> float:
    """Maps so many tasks; returns the seconds that each took."""
    return seconds_each(count, lambda: sum(future.result() for future in nothing.map(range(count))))


def pooled(count: int, workers: int) -> int:
    """What one would write without Penstock."""
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(nothing.fn, number) for number in range(count)]
        return sum(future.result() for future in futures)


@benchmark("map")
def map_on_threads(bench: Bench) -> Iterator[Row]:
    """The more threads, the more both lose to the interpreter's lock; a bare pool loses to it as well."""
    count = bench.some(10_000)
    for workers in WORKERS:
        run = mapped.with_options(task_runner=ThreadPoolTaskRunner(max_workers=workers))
        taken = bench.interleave(
            {
                "map": lambda run=run: run(count),
                "a bare pool": lambda workers=workers: seconds_each(count, lambda: pooled(count, workers)),
            }
        )
        what = f"{count:,} tasks by map, {workers} thread{'s' * (workers > 1)}"
        yield Row(what, "µs", taken.pop("map"), taken, Budget(3, times="a bare pool"))


@benchmark("many")
def many_tasks(bench: Bench) -> Iterator[Row]:
    """100,000 mapped tasks in a process of their own: the most memory that it ever used, and the time."""
    count = bench.some(100_000)
    figures: dict[str, list[dict[str, float]]] = {"penstock": [], "bare": []}
    for _ in range(1 if bench.is_quick else 3):
        for who, taken in figures.items():
            taken.append(_in_a_process(bench, who, count))
    for name, unit, budget in (_MEMORY, _TIME):
        baseline = {"a bare pool": [each[name] for each in figures["bare"]]}
        samples = [each[name] for each in figures["penstock"]]
        yield Row(f"{count:,} tasks by map: {name}", unit, samples, baseline, budget)


_MEMORY: tuple[str, Unit, Budget | None] = ("peak memory", "MiB", Budget(400 << 20))
_TIME: tuple[str, Unit, Budget | None] = ("time of each", "µs", None)


def _in_a_process(bench: Bench, who: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.mapping", who, str(count)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, env=bench.environment(), cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout)


def _peak_bytes() -> int:
    """The most memory that this process ever had, as the system counts it."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        import resource  # noqa: PLC0415  not on Linux, where it counts the parent's memory too

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _main(who: str, count: int) -> None:
    seconds = mapped(count) if who == "penstock" else seconds_each(count, lambda: pooled(count, WORKERS[-1]))
    print(json.dumps({_TIME[0]: seconds, _MEMORY[0]: _peak_bytes()}))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
