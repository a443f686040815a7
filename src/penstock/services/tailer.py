"""The tailer: folds what runs of this machine record, as they record it, those started by hand too."""

from __future__ import annotations

import os

from penstock import telemetry
from penstock.clock import Clock
from penstock.journal.folder import JournalFolder
from penstock.orchestration.catch_up import catch_up
from penstock.settings import Settings
from penstock.store.interface import Store

BUSY_SECONDS = 0.05
"""Between two looks while some run has journals here …"""
IDLE_SECONDS = 0.2
"""… and while none has."""
LOOKS_TO_PAUSES = 10
"""So many times as long as a look takes is waited at least: with thousands of runs it is not to take a processor."""
FULL_SECONDS = 60.0
"""All journals are looked at so often, whether they have changed or not."""

Seen = tuple[tuple[str, int, bool], ...]
"""Of each journal of a run: its name, its size, and whether its process lives."""


class Tailer:
    name = "tailer"
    topics: frozenset[str] = frozenset()

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._folder = JournalFolder(settings.journals)
        self._seen: dict[str, Seen] = {}
        self._looked_at_all: float | None = None

    def run_once(self) -> float:
        began = self._clock.elapsed()
        found = {run_id: self._look(run_id) for run_id in self._folder.run_ids()}
        now = self._clock.elapsed()
        if self._looked_at_all is None or now - self._looked_at_all >= FULL_SECONDS:
            self._looked_at_all = now
            self._seen = {}
        changed = [run_id for run_id, seen in found.items() if self._seen.get(run_id) != seen]
        if changed:
            done = catch_up(self._settings, self._store, self._clock, only=changed)
            telemetry.emit("journals.folded", count=done.records)
            for problem in done.problems:
                telemetry.emit("journal.problem", run_id=problem.run_id, path=problem.path, reason=problem.message)
        # What was written meanwhile is seen at the next look: these are the sizes of before.
        self._seen = found
        return max(BUSY_SECONDS, LOOKS_TO_PAUSES * (now - began)) if found else IDLE_SECONDS

    def _look(self, run_id: str) -> Seen:
        journals = tuple(
            (journal.path.name, size, journal.is_locked)
            for journal in self._folder.journals(run_id)
            if (size := _size(journal.path)) is not None
        )
        # Once a worker lets go of a run, there is something to do here, though no journal changes.
        return (*journals, *((f"{attempt}.lease", 0, True) for attempt in self._folder.leases(run_id)))


def _size(path: os.PathLike[str]) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None
