"""A clock on which waiting takes no time, and what the journals of a test's home say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import clock, settings
from penstock.core import records
from penstock.engine import replay
from penstock.journal import reader
from penstock.journal.folder import JournalFolder
from penstock.sdk import runs

Records = Callable[..., list[Any]]


class FakeClock(clock.SystemClock):
    """Time passes only by sleeping, which takes none; ``slept`` tells how long was slept."""

    __slots__ = ("luck", "passed", "slept")

    def __init__(self) -> None:
        self.passed = 0.0
        self.slept: list[float] = []
        self.luck = 0.5

    def now(self) -> int:
        return super().now() + int(self.passed * 1_000_000)

    def elapsed(self) -> float:
        return self.passed

    def advance(self, seconds: float) -> None:
        self.passed += seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.passed += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def chance(self) -> float:
        return self.luck


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PROGRESS", "off")


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """Runs of this test wait on this clock."""
    fake = FakeClock()
    token = runs.use_environment(runs.Environment(settings.load(), fake))
    yield fake
    runs.reset_environment(token)


def all_records(home: Path, *kinds: type) -> list[Any]:
    """What all journals of a home say, run by run in the order of their ids, attempt by attempt."""
    folder = JournalFolder(home / "journals")
    return [
        record
        for run_id in sorted(folder.run_ids())
        for journal in folder.journals(run_id)
        for record in reader.read_all(journal.path)
        if not kinds or isinstance(record, kinds)
    ]


@pytest.fixture
def recorded(home: Path) -> Records:
    """``recorded(TaskRunEnded)``: all such records of this test's runs."""
    return lambda *kinds: all_records(home, *kinds)


@pytest.fixture
def ends(home: Path) -> Callable[[], dict[str, str]]:
    """How each task run ended: the name of its last state by its own name; "" for one that did not."""

    def ends() -> dict[str, str]:
        found = all_records(home, records.TaskRunBegan, records.TaskRunEnded)
        names = {each.task_run_id: each.name for each in found if isinstance(each, records.TaskRunBegan)}
        states = {each.task_run_id: each.name for each in found if isinstance(each, records.TaskRunEnded)}
        return {name: states.get(task_run_id, "") for task_run_id, name in names.items()}

    return ends


@pytest.fixture
def log(home: Path) -> Callable[[], list[str]]:
    """The lines of all logs."""
    return lambda: [line.message for line in all_records(home, records.LogLine)]


@pytest.fixture
def run_id(home: Path) -> Callable[[], str]:
    """The id of the latest run."""
    return lambda: max(JournalFolder(home / "journals").run_ids())


@pytest.fixture
def history(home: Path) -> Callable[[], replay.History]:
    """What a resume would know."""
    return lambda: replay.History(all_records(home))


class Gate:
    """Opened by one thread, waited for by others; not being opened in time fails the test."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def wait(self) -> None:
        assert self._event.wait(20), "nobody opened the gate"

    @property
    def is_open(self) -> bool:
        return self._event.is_set()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def gates() -> Callable[[], Gate]:
    return Gate
