"""What the server does by itself: loops that call one use case, and wait.

A service keeps nothing that matters in memory. What one call could not do, a later one finds again; so an error ends no
loop, and any number of servers may run the same services.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from penstock.clock import Clock
from penstock.store.interface import Store
from penstock.store.wakes import EVERYTHING

LONGEST_PAUSE_SECONDS = 10.0
"""After errors, however many in a row."""

_log = logging.getLogger("penstock.services")


class Service(Protocol):
    """Something to be done again and again."""

    @property
    def name(self) -> str: ...

    @property
    def topics(self) -> frozenset[str]:
        """What wakes it before its time; see `Transaction.wake`."""
        ...

    def run_once(self) -> float:
        """Do what there is to do; returns in how many seconds there may be more."""
        ...


class Loop:
    """A thread that runs a service until it is closed."""

    def __init__(self, service: Service, store: Store, clock: Clock) -> None:
        self.name = service.name
        self.failures = 0
        """Calls in a row that have raised."""
        self.trouble: str | None = None
        """What the last call raised."""
        self._service = service
        self._clock = clock
        self._ran_at = clock.elapsed()
        self._changed = threading.Condition()
        self._is_woken = False
        self._closing = False
        self._unsubscribe = store.subscribe(self._hear)
        self._thread = threading.Thread(target=self._run, name=f"penstock-{service.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def age_seconds(self) -> float:
        """How long ago the service came to its end without an error, last."""
        return self._clock.elapsed() - self._ran_at

    def wake(self) -> None:
        """Let it run now."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread, after what it is about. Closing twice does nothing."""
        self._unsubscribe()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _hear(self, topics: frozenset[str] | set[str]) -> None:
        if EVERYTHING in topics or not self._service.topics.isdisjoint(topics):
            self.wake()

    def _run(self) -> None:
        while True:
            pause = self._once()
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._is_woken, pause)
                if self._closing:
                    return
                self._is_woken = False

    def _once(self) -> float:
        try:
            pause = self._service.run_once()
        except Exception as error:  # noqa: BLE001  whatever it is, the loop goes on: the next call may succeed
            self.failures += 1
            told = f"{type(error).__name__}: {error}"
            if told != self.trouble:
                _log.warning("The %s failed, and will try again: %s", self.name, told)
            self.trouble = told
            return min(0.25 * 2.0 ** min(self.failures, 10), LONGEST_PAUSE_SECONDS)
        if self.failures:
            _log.info("The %s works again", self.name)
        self.failures = 0
        self.trouble = None
        self._ran_at = self._clock.elapsed()
        return pause


@contextmanager
def running(services: list[Service], store: Store, clock: Clock) -> Generator[list[Loop]]:
    """Run services until the ``with`` block ends; it is handed their loops."""
    loops = [Loop(service, store, clock) for service in services]
    for loop in loops:
        loop.start()
    try:
        yield loops
    finally:
        for loop in loops:
            loop.close()
