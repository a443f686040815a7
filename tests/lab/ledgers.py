"""What happened, kept where Penstock has no part in it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.lab.waiting import until


class Effect(NamedTuple):
    """A line that a task wrote when it did its work; see `flows/lab_flows.py`."""

    what: str
    """``effect``: the work was done. ``began``: it is under way. ``once``: it must never be done again."""
    run_id: str
    task_run_id: str
    attempt: int
    pid: int
    at: float
    """On the clock of the machine since its start."""


class Effects:
    """The ledger of effects, written by tasks, line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def all(self) -> list[Effect]:
        return [_effect(line) for line in self.path.read_text().splitlines()]

    def of(self, run_id: str, what: str | None = None) -> list[Effect]:
        return [each for each in self.all() if each.run_id == run_id and what in (None, each.what)]

    def until(self, run_ids: Sequence[str], what: str = "began", count: int = 1, *, seconds: float = 60) -> None:
        """Return when each of these runs has done that so often."""

        def probe() -> bool:
            done = [each.run_id for each in self.all() if each.what == what]
            return all(done.count(run_id) >= count for run_id in run_ids)

        until(probe, f"`{what}` of {len(run_ids)} runs", seconds=seconds)


def _effect(line: str) -> Effect:
    what, run_id, task_run_id, attempt, pid, at = line.split()
    return Effect(what, run_id, task_run_id, int(attempt), int(pid), float(at))


class Acknowledgements:
    """The ledger of a client: what it was told is so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._created: list[str] = []
        self._cancelled: list[str] = []
        self.calls = 0
        self.failures: list[str] = []
        """Calls that came to nothing after all patience."""

    @property
    def created(self) -> tuple[str, ...]:
        """Runs that were accepted."""
        return tuple(self._created)

    @property
    def cancelled(self) -> tuple[str, ...]:
        """Runs whose cancelling was accepted."""
        return tuple(self._cancelled)

    def create(self, run_id: str) -> None:
        with self._lock:
            self.calls += 1
            self._created.append(run_id)

    def cancel(self, run_id: str) -> None:
        with self._lock:
            self.calls += 1
            self._cancelled.append(run_id)

    def fail(self, why: str) -> None:
        with self._lock:
            self.calls += 1
            self.failures.append(why)
