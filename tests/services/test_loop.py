from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from penstock.clock import SYSTEM
from penstock.services.loop import Loop, running
from penstock.store.sqlite import SqliteStore
from penstock.store.wakes import EVERYTHING


class Counted:
    """A service that can be told to fail, and says when it has run."""

    name = "counter"
    topics = frozenset({"counted"})

    def __init__(self, pause: float) -> None:
        self.calls = 0
        self.fails = False
        self._pause = pause
        self._changed = threading.Condition()

    def run_once(self) -> float:
        with self._changed:
            self.calls += 1
            self._changed.notify_all()
        if self.fails:
            raise RuntimeError("no")
        return self._pause

    def wait_for(self, calls: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.calls >= calls, timeout=20)


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    with SqliteStore.in_memory() as store:
        yield store


def test_a_service_runs_again_after_the_time_that_it_asked_for(store: SqliteStore):
    service = Counted(0.001)
    with running([service], store, SYSTEM):
        assert service.wait_for(3)


@pytest.mark.parametrize("topic", ["counted", EVERYTHING])
def test_a_topic_wakes_a_service_before_its_time(store: SqliteStore, topic: str):
    service = Counted(3600)
    with running([service], store, SYSTEM):
        assert service.wait_for(1)
        with store.transaction() as tx:
            tx.wake(topic)
        assert service.wait_for(2)


def test_an_error_ends_no_loop_and_is_told(store: SqliteStore):
    service = Counted(0.001)
    service.fails = True
    with running([service], store, SYSTEM) as (loop,):
        assert service.wait_for(3)
        failures, trouble = loop.failures, loop.trouble
        service.fails = False
        assert service.wait_for(service.calls + 3)

        assert failures >= 2
        assert trouble == "RuntimeError: no"
        assert (loop.failures, loop.trouble) == (0, None)


def test_a_loop_that_was_never_started_can_be_closed(store: SqliteStore):
    loop = Loop(Counted(1), store, SYSTEM)
    loop.close()
    loop.close()
