"""A home with runs in it, written by hand; and a plant, on either database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.orchestration.plant import Plant, furnished
from tests.orchestration.written import SECOND, SteppingClock, WrittenRun

from penstock.core import records
from penstock.core.result_records import ResultRecord
from penstock.orchestration.local import Home, open_home
from penstock.settings import Settings
from penstock.store.interface import Store
from penstock.store.sqlite import SqliteStore
from penstock.testing import FakeClock


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
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["SQLite", "Postgres"])
def either_store(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Store]:
    """A store on each database in turn. Where that is SQLite, its time is the clock's."""
    if request.param == "SQLite":
        with SqliteStore.in_memory(clock) as store:
            yield store
        return
    url = request.getfixturevalue("postgres_url")
    from penstock.store.postgres import PostgresStore

    with PostgresStore.open(url, write=True) as store:
        yield store


@pytest.fixture
def plant(either_store: Store) -> Plant:
    return furnished(either_store)


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[Plant]:
    """The same, where the test moves the time."""
    with SqliteStore.in_memory(clock) as store:
        yield furnished(store)


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


@pytest.fixture
def keep(settings: Settings, time: SteppingClock):
    """Writes a file of results, two hours old, and says where it lies."""

    def keep(data: bytes, *, age_seconds: int = 7200) -> str:
        digest = blake2b(data, digest_size=32).hexdigest()
        path = settings.results / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        moment = time.now() // SECOND - age_seconds
        os.utime(path, (moment, moment))
        return f"{digest[:2]}/{digest}"

    return keep


@pytest.fixture
def cache(settings: Settings, time: SteppingClock):
    """Writes an entry of the cache that refers to a result."""

    def cache(key: str, location: str | None, *, expires_in_seconds: int = 0) -> Path:
        digest = blake2b(key.encode(), digest_size=16).hexdigest()
        path = settings.cache / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {
            "key": key,
            "expires_at": expires_in_seconds and time.now() + expires_in_seconds * SECOND,
            "result": ResultRecord("x", None, location, 9) if location else ResultRecord("x", b"x"),
            "components": [],
        }
        path.write_bytes(msgspec.msgpack.encode(entry))
        return path

    return cache
