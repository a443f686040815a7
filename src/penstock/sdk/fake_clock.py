"""A clock for tests: waiting takes no time, and ids and chance are the same in every run of a test."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from random import Random  # noqa: TID251  seeded: what it draws is foreseen

from penstock.clock import uuid7
from penstock.core.timestamps import as_datetime, as_microseconds

_START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `penstock.clock.Clock` that only moves when somebody waits, or when the test advances it.

    Each look at it takes a microsecond, so that of two facts the later one has the later time.
    ``sleeps`` are the seconds that were waited, in order. The same ``seed`` draws the same ids (and
    with them, names of runs) and chances; which run gets which is as certain as the order in which
    threads ask.
    """

    def __init__(self, start: datetime = _START, *, seed: int = 0) -> None:
        self.sleeps: list[float] = []
        self._started_at = self._now = as_microseconds(start)
        self._random = Random(seed)  # noqa: S311  as above
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            self._now += 1
            return self._now

    def elapsed(self) -> float:
        return (self._now - self._started_at) / 1_000_000

    @property
    def time(self) -> datetime:
        """The time that it shows. Looking at it this way takes none."""
        return as_datetime(self._now)

    def sleep(self, seconds: float) -> None:
        """Be told to wait: the time has passed when this returns. Threads wait one after the other."""
        self.sleeps.append(seconds)
        self.advance(seconds)

    async def sleep_async(self, seconds: float) -> None:
        """As `sleep`; other coroutines run first."""
        import asyncio  # noqa: PLC0415  keeps asyncio off the import path

        await asyncio.sleep(0)
        self.sleep(seconds)

    def advance(self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let that much time pass."""
        passed = timedelta(seconds=max(seconds, 0), minutes=minutes, hours=hours, days=days)
        with self._lock:
            self._now += passed // timedelta(microseconds=1)

    def new_id(self) -> str:
        with self._lock:
            self._now += 1000  # a millisecond, by which later ids sort later
            return uuid7(self._now // 1000, self._random.randbytes(10))

    def chance(self) -> float:
        with self._lock:
            return self._random.random()
