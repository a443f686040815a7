"""Runs written by hand: journals as a flow's process would write them, without an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from penstock import clock
from penstock.core import addresses, records
from penstock.core.result_records import ResultRecord
from penstock.journal.writer import JournalWriter
from penstock.settings import Settings

NOON = 1_763_899_200_000_000
"""2025-11-23 12:00 UTC, in microseconds."""

SECOND = 1_000_000


class SteppingClock(clock.SystemClock):
    """A clock that moves only when it is told to, or waited for."""

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
        while self.meanwhile:
            self.meanwhile.pop(0)()

    def advance(self, seconds: float) -> None:
        self.at += round(seconds * SECOND)


@dataclass
class WrittenRun:
    """A run whose journals a test writes. What is open counts as a process that lives."""

    settings: Settings
    time: SteppingClock
    id: str
    writers: list[JournalWriter] = field(default_factory=list[JournalWriter])
    pid: int = 4242

    def journal(self, attempt: int = 1, writer: str = "main") -> JournalWriter:
        path = self.settings.journals / self.id / f"{attempt}.{writer}.journal"
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = records.JournalOpened(
            records.FORMAT, self.id, attempt, writer, "here", "", self.pid, self.time.now(), "0.1.0"
        )
        written = JournalWriter(path, opened)
        self.writers.append(written)
        return written

    def began(self, attempt: int = 1, **options: Any) -> records.FlowRunBegan:
        given: dict[str, Any] = {
            "at": self.time.now(),
            "flow_run_id": self.id,
            "attempt": attempt,
            "name": f"run-{self.id[-4:]}",
            "flow_name": "etl",
            "flow_version": "1",
            "entrypoint": "flow.py:etl",
            "parameters": {"day": "2025-11-23"},
        }
        return records.FlowRunBegan(**{**given, **options})

    def ended(self, kind: str = "COMPLETED", **options: Any) -> records.FlowRunEnded:
        given: dict[str, Any] = {"at": self.time.now(), "flow_run_id": self.id, "type": kind, "name": kind.capitalize()}
        return records.FlowRunEnded(**{**given, **options})

    def task_id(self, name: str) -> str:
        return addresses.task_run_id(self.id.encode(), addresses.address(b"key", name.encode(), 0))

    def task_began(self, name: str, **options: Any) -> records.TaskRunBegan:
        given: dict[str, Any] = {
            "at": self.time.now(),
            "task_run_id": self.task_id(name),
            "flow_run_id": self.id,
            "scope_id": self.id,
            "task": 0,
            "name": name,
        }
        return records.TaskRunBegan(**{**given, **options})

    def task_ended(self, task: str, kind: str = "COMPLETED", **options: Any) -> records.TaskRunEnded:
        given: dict[str, Any] = {
            "at": self.time.now(),
            "task_run_id": self.task_id(task),
            "type": kind,
            "name": kind.capitalize(),
            "result": ResultRecord("1", b"1", None, 1) if kind == "COMPLETED" else None,
        }
        return records.TaskRunEnded(**{**given, **options})

    def log(self, message: str, *, level: int = 20, task: str | None = None) -> records.LogLine:
        task_run_id = None if task is None else self.task_id(task)
        return records.LogLine(self.time.now(), self.id, task_run_id, level, "penstock.flow_runs", message)

    def die(self) -> None:
        """The process goes away, and the system frees its locks."""
        while self.writers:
            self.writers.pop().close()


def with_result(run: WrittenRun, location: str, **options: Any) -> WrittenRun:
    """The run, written to its end, with a task whose result lies in a file."""
    journal = run.journal()
    journal.append(run.began(**options))
    journal.append(run.task_began("a"))
    journal.append(run.task_ended("a", result=ResultRecord("x", None, location, 9)))
    journal.append(run.ended())
    run.die()
    return run
