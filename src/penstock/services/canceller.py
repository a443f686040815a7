"""The canceller: ends the processes of cancelled runs that were started by hand on this machine."""

from __future__ import annotations

from penstock import telemetry
from penstock.clock import Clock
from penstock.orchestration.ending import Ender
from penstock.orchestration.flow_runs import CANCELLED_BY_HAND
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store.interface import Store

BUSY_SECONDS = 0.2
IDLE_SECONDS = 10.0


class Canceller:
    name = "canceller"
    topics = frozenset({CANCELLED_BY_HAND})

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._ender = Ender(Home(settings, clock))

    def run_once(self) -> float:
        done = self._ender.run_once(self._store)
        for run_id in done.told:
            telemetry.emit("run.told_to_end", run_id=run_id)
        for run_id in done.killed:
            telemetry.emit("run.killed", run_id=run_id)
        return BUSY_SECONDS if done.left else IDLE_SECONDS
