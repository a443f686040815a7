"""The concurrency limits that a home's own store knows, for runs that have no server to ask."""

from __future__ import annotations

import os
from pathlib import Path

from penstock import errors
from penstock.clock import Clock
from penstock.core.concurrency import ConcurrencyLimit

LOOK_SECONDS = 0.5
"""How often it is looked at whether the store was written."""


class LocalLimits:
    """Reads them when they are first asked for, and again after the store was written."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[object, ...] = ()
        self._look_at = 0.0
        self._known: dict[str, ConcurrencyLimit] = {}

    def known(self) -> dict[str, ConcurrencyLimit]:
        """The limits by name, those included that are not active."""
        if self._clock.elapsed() >= self._look_at:
            seen = _last_written(self._path), _last_written(self._path.with_name(f"{self._path.name}-wal"))
            if seen != self._seen:
                self._known = _read(self._path)
                self._seen = seen
            self._look_at = self._clock.elapsed() + LOOK_SECONDS
        return self._known


def _last_written(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _read(path: Path) -> dict[str, ConcurrencyLimit]:
    if not path.exists():
        return {}
    from penstock.store.sqlite import SqliteStore  # noqa: PLC0415  most homes have no limits to ask for
    from penstock.store.sqlite_connections import UnfinishedStore  # noqa: PLC0415  as above

    try:
        with SqliteStore.open(path, write=False) as store, store.reading() as tx:
            return {row.name: row.view() for row in tx.concurrency_limits.limits()}
    except (UnfinishedStore, errors.OutdatedStore, errors.IncompatibleHome):
        return {}  # who writes the store next says so; runs go on
