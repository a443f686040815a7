"""The scheduler: turns schedules into runs, and wakes workers when a waiting run becomes due."""

from __future__ import annotations

from penstock import telemetry
from penstock.orchestration import scheduling
from penstock.orchestration.scheduling import Looking
from penstock.store.interface import Store

LONGEST_SECONDS = 10.0
"""It looks at least so often, also because a clock may jump meanwhile."""
AGAIN_SECONDS = 1.0
"""After some schedules could not be decided."""


class Scheduler:
    name = "scheduler"
    topics = frozenset({"schedules"})

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looking: Looking | None = None

    def run_once(self) -> float:
        done = scheduling.run_once(self._store, self._looking)
        self._looking = done.looking
        if done.runs or done.not_run:
            telemetry.emit("schedules.decided", runs=done.runs, not_run=done.not_run)
        for failure in done.failures:
            telemetry.emit("schedule.failed", reason=failure)
        if done.failures:
            return AGAIN_SECONDS
        if done.next_at is None:
            return LONGEST_SECONDS
        return min(max((done.next_at - done.ended_at) / 1e6, 0.0), LONGEST_SECONDS)
