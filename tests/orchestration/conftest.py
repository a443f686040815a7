"""A home with runs in it, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from tests.orchestration.written import SteppingClock, WrittenRun

from penstock.core import records
from penstock.orchestration.local import Home, open_home
from penstock.settings import Settings
from penstock.store.sqlite import SqliteStore


@pytest.fixture
def time() -> SteppingClock:
    return SteppingClock()


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home)


@pytest.fixture
def new_run(settings: Settings, time: SteppingClock) -> Iterator[Callable[[], WrittenRun]]:
    """Makes runs to write the journals of; ids grow, as those of later runs do."""
    made: list[WrittenRun] = []

    def new_run() -> WrittenRun:
        number = len(made) + 1
        run = WrittenRun(settings, time, f"0192{number:04x}-0000-7000-8000-{number:012x}")
        made.append(run)
        return run

    yield new_run
    for run in made:
        run.die()


@pytest.fixture
def run(new_run: Callable[[], WrittenRun]) -> WrittenRun:
    return new_run()


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    with SqliteStore.in_memory() as store:
        yield store


@pytest.fixture
def opened(settings: Settings, time: SteppingClock) -> Callable[[], AbstractContextManager[Home]]:
    """``with opened() as home:`` has all that the journals say folded."""
    return lambda: open_home(settings, time)


@pytest.fixture
def complete(new_run: Callable[[], WrittenRun], time: SteppingClock) -> Callable[..., WrittenRun]:
    """Writes a run that completed: ``complete(tasks=3)``."""

    def complete(tasks: int = 1, **options: Any) -> WrittenRun:
        run = new_run()
        journal = run.journal()
        journal.append(run.began(**options))
        journal.define(records.TaskDefined(0, "mod.load", "load", ("io",)))
        for number in range(tasks):
            journal.append(run.task_began(f"load-{number}"))
            time.advance(1)
            journal.append(run.task_ended(f"load-{number}"))
        journal.append(run.ended())
        run.die()
        return run

    return complete
