"""The rescuer: finds runs whose worker is gone, and runs that nobody claims."""

from __future__ import annotations

from penstock import telemetry
from penstock.core.work import RESCUE_SECONDS
from penstock.orchestration import rescue
from penstock.store.interface import Store


class Rescuer:
    name = "rescuer"
    topics: frozenset[str] = frozenset()

    def __init__(self, store: Store, *, marks_late: bool = True) -> None:
        self._store = store
        self._marks_late = marks_late

    def run_once(self) -> float:
        done = rescue.run_once(self._store, marks_late=self._marks_late)
        if done.resumed or done.ended or done.late or done.shifted:
            telemetry.emit("runs.rescued", resumed=done.resumed, ended=done.ended, late=done.late, shifted=done.shifted)
        for failure in done.failures:
            telemetry.emit("run.not_rescued", reason=failure)
        return RESCUE_SECONDS
