"""Retention: forgets what is old, so that a store does not grow without end."""

from __future__ import annotations

from penstock import telemetry
from penstock.clock import Clock
from penstock.orchestration import asking, kept_files, retention
from penstock.orchestration.local import Home
from penstock.settings import Settings
from penstock.store.interface import Store

INTERVAL_SECONDS = 3600.0
FIRST_SECONDS = 600.0
"""After the start of a server, whose settings somebody may still be about to change."""


class Retention:
    name = "retention"
    topics: frozenset[str] = frozenset()

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._home = Home(settings, clock)
        self._is_first = True

    def run_once(self) -> float:
        if self._is_first:
            self._is_first = False
            return FIRST_SECONDS
        settings = self._home.settings
        done = retention.prune(self._home, self._store, settings.retention_days, settings.retention_runs)
        answers = asking.forget_answers(self._store)
        files = kept_files.sweep(self._store, settings.retention_days)
        telemetry.emit("store.pruned", runs=done.runs, results=done.result_files, answers=answers, files=files)
        return INTERVAL_SECONDS
