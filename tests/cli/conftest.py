"""Calling the command line without a process, and runs to ask it about without an engine."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.api.serving import TOKEN, Served, serving

from penstock import clock, settings
from penstock.cli import main
from penstock.core import addresses, records
from penstock.journal.writer import JournalWriter
from penstock.orchestration.catch_up import catch_up
from penstock.store.sqlite import SqliteStore

NOON = 1_763_899_200_000_000
"""2025-11-23 12:00 UTC, in microseconds: when all tests of the command line take place."""

SECOND = 1_000_000


class Ran(NamedTuple):
    """What a call of the command line exited with and wrote."""

    code: int
    out: str
    err: str


class Stream(io.StringIO):
    """A stream that may pretend to be a terminal."""

    encoding = "utf-8"

    def __init__(self, text: str = "", *, tty: bool = False) -> None:
        super().__init__(text)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty


class StillClock(clock.SystemClock):
    """A clock that stands still; waiting moves it, and calls whatever should happen meanwhile."""

    __slots__ = ("at", "meanwhile")

    def __init__(self) -> None:
        self.at = NOON
        self.meanwhile: list[Callable[[], object]] = []

    def now(self) -> int:
        return self.at

    def elapsed(self) -> float:
        return self.at / SECOND

    def sleep(self, seconds: float) -> None:
        self.at += round(seconds * SECOND)
        if not self.meanwhile:
            pytest.fail("it waits for something that will not happen")
        self.meanwhile.pop(0)()


@pytest.fixture
def still() -> StillClock:
    return StillClock()


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """These tests take place in a zone that is not UTC, so that a mistaken one shows."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def penstock(home: Path, still: StillClock) -> Callable[..., Ran]:
    """Call the command line: ``penstock("flow-run", "ls", tty=True)``."""

    def call(*line: str | Path, tty: bool = False, stdin: str | None = "", columns: int = 100, **environ: str) -> Ran:
        out, err = Stream(tty=tty), Stream(tty=tty)
        given = {name: value for name, value in os.environ.items() if name.startswith("PENSTOCK_")}
        code = main.call(
            [str(word) for word in line],
            out=out,
            err=err,
            stdin=None if stdin is None else Stream(stdin, tty=tty),
            environ={**given, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1", **environ},
            time=still,
        )
        return Ran(code, out.getvalue(), err.getvalue())

    return call


class Task(NamedTuple):
    """A task run to be written: how it ended (None: it has not), and when, in seconds after its flow run."""

    name: str
    state: str | None = "COMPLETED"
    message: str | None = None
    started: float = 1
    took: float = 0.5
    task: str = "clean"
    state_name: str = ""


class Journals:
    """Writes the journals of runs, as their processes would have."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._count = 0
        self._writers: list[JournalWriter] = []

    def run(
        self,
        name: str,
        *,
        flow: str = "etl",
        state: str | None = "COMPLETED",
        state_name: str = "",
        message: str | None = None,
        began: float = -3600,
        took: float = 12.3,
        tasks: tuple[Task, ...] = (),
        logs: tuple[tuple[int, str], ...] = (),
        artifacts: tuple[tuple[str, str, Any], ...] = (),
        parameters: dict[str, Any] | None = None,
        tags: tuple[str, ...] = (),
        attempt: int = 1,
        entrypoint: str = "flows/etl.py:etl",
        run_id: str = "",
        lives: bool = False,
    ) -> str:
        """A run that began so many seconds after noon; returns its id. ``lives``: its process still writes."""
        self._count += 1
        at = NOON + round(began * SECOND)
        run_id = run_id or clock.uuid7(at // 1000, self._count.to_bytes(10, "big"))
        folder = self._home / "journals" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        opened = records.JournalOpened(
            records.FORMAT, run_id, attempt, "main", "here", "boot", 4242, at, "0.1.0", "3.11.0"
        )
        writer = JournalWriter(folder / f"{attempt}.main.journal", opened)
        writer.append(
            records.FlowRunBegan(
                at, run_id, attempt, name, flow, "v1", entrypoint, parameters or {}, tags=tags, source="call"
            )
        )
        for number, task in enumerate(tasks):
            self._task(writer, run_id, number, task, at)
        for number, (level, text) in enumerate(logs):
            writer.append(records.LogLine(at + number * SECOND, run_id, None, level, "penstock.flow_runs", text))
        for number, (kind, key, data) in enumerate(artifacts):
            identity = clock.uuid7(at // 1000, (1000 * self._count + number).to_bytes(10, "big"))
            writer.append(records.ArtifactSaved(at + SECOND, identity, run_id, None, kind, key, f"The {key}", data))
        if state is not None:
            end = at + round(took * SECOND)
            named = state_name or state.capitalize()
            writer.append(records.FlowRunEnded(end, run_id, state, named, message))
        if lives:
            self._writers.append(writer)
        else:
            writer.close()
        return run_id

    def writer(self, run_id: str) -> JournalWriter:
        """The journal of a run that lives."""
        return next(writer for writer in self._writers if writer.opened.run_id == run_id)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def task_run_id(self, run_id: str, number: int) -> str:
        return addresses.task_run_id(run_id.encode(), number.to_bytes(16, "big"))

    def _task(self, writer: JournalWriter, run_id: str, number: int, task: Task, at: int) -> None:
        index = writer.define(records.TaskDefined(0, f"etl.{task.task}", task.task))
        identity = self.task_run_id(run_id, number)
        began = at + round(task.started * SECOND)
        writer.append(
            records.TaskRunBegan(began, identity, run_id, run_id, index, task.name, address=number.to_bytes(16, "big"))
        )
        if task.state is not None:
            named = task.state_name or task.state.capitalize()
            result = records.ResultRecord(preview="42", inline=b"x", size=1) if task.state == "COMPLETED" else None
            writer.append(
                records.TaskRunEnded(
                    began + round(task.took * SECOND), identity, result, task.state, named, task.message
                )
            )


@pytest.fixture
def journals(home: Path) -> Iterator[Journals]:
    """Makes runs to ask about."""
    made = Journals(home)
    yield made
    made.close()


@pytest.fixture
def make_task() -> type[Task]:
    """Makes the task runs of a run."""
    return Task


class Kept:
    """A home that a server keeps: what its journals say is folded when a test says so."""

    def __init__(self, store: SqliteStore, served: Served) -> None:
        self._store = store
        self.url = served.url
        self.orchestrator = served.orchestrator

    def fold(self) -> None:
        catch_up(settings.load(), self._store, clock.SYSTEM)


@pytest.fixture
def kept(home: Path) -> Iterator[Kept]:
    home.mkdir(exist_ok=True)
    with SqliteStore.open(home / "penstock.db", write=True, purpose="server") as store, serving(store) as served:
        yield Kept(store, served)


@pytest.fixture
def remote(penstock: Callable[..., Ran], kept: Kept, tmp_path: Path) -> Callable[..., Ran]:
    """Call the command line of another machine, whose API is the server's."""
    elsewhere = {"PENSTOCK_HOME": str(tmp_path / "elsewhere"), "PENSTOCK_API_URL": kept.url, "PENSTOCK_API_KEY": TOKEN}
    return lambda *line, **options: penstock(*line, **{**elsewhere, **options})
