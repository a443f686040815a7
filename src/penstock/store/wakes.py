"""Who hears that something was committed. A topic is a short word: ``events``, ``run:<id>``, ``work:<pool id>``."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from penstock import telemetry

Callback = Callable[[frozenset[str]], object]

EVERYTHING = "*"
"""The topic that stands for all: something may have been missed, so look again at whatever you follow."""


class Subscribers:
    """The callbacks of one store. Safe to use from any thread."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callback] = {}
        self._mutex = threading.Lock()

    def add(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(topics)`` for all that is told from now on; returns the way to stop it."""
        key = object()
        with self._mutex:
            self._callbacks[key] = callback

        def remove() -> None:
            with self._mutex:
                self._callbacks.pop(key, None)

        return remove

    def tell(self, topics: Iterable[str]) -> None:
        """Call everybody. What is told is committed already, so one who raises must not undo it for others."""
        told = frozenset(topics)
        if not told:
            return
        with self._mutex:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            try:
                callback(told)
            except Exception as error:  # noqa: BLE001  as above
                telemetry.emit("store.subscriber_failed", error=repr(error))


class Hearing(Protocol):
    """A connection to where other processes tell their topics."""

    @property
    def error(self) -> type[Exception]:
        """What its methods raise when the connection cannot be made or is lost."""
        ...

    def connect(self) -> None:
        """Begin to hear."""
        ...

    def fileno(self) -> int:
        """What can be read when there is something to hear."""
        ...

    def heard(self) -> list[str]:
        """What has come since it was asked last: each ``<who> <topic> <topic> …``."""
        ...

    def close(self) -> None:
        """Hear no more. Closing twice does nothing."""
        ...


LOOK_SECONDS = 10.0
"""A connection on which nothing is said is asked so often whether it still is one."""

PAUSE_SECONDS = 0.5
"""Between two attempts to connect again."""


class Listener:
    """A thread that tells subscribers what other processes have woken. What ``name`` itself has told it leaves out."""

    def __init__(self, hearing: Hearing, subscribers: Subscribers, name: str) -> None:
        try:
            hearing.connect()
        except BaseException:
            hearing.close()
            raise
        self._hearing = hearing
        self._subscribers = subscribers
        self._name = name
        self._is_stopped = threading.Event()
        self._stopping, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="penstock-listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end."""
        self._is_stopped.set()
        self._stop.close()
        self._thread.join(timeout=5)
        self._stopping.close()

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                self._hear()
            except self._hearing.error as error:
                telemetry.emit("store.listener_lost", error=str(error))
                self._connect_again()
        self._hearing.close()

    def _hear(self) -> None:
        poll = select.poll()
        poll.register(self._hearing.fileno(), select.POLLIN)
        poll.register(self._stopping, select.POLLIN)
        while not self._is_stopped.is_set():
            poll.poll(LOOK_SECONDS * 1000)
            if self._is_stopped.is_set():
                return
            topics: set[str] = set()
            for payload in self._hearing.heard():
                name, *told = payload.split()
                if name != self._name:
                    topics.update(told)
            self._subscribers.tell(topics)

    def _connect_again(self) -> None:
        while not self._is_stopped.is_set():
            self._hearing.close()
            try:
                self._hearing.connect()
            except self._hearing.error:
                self._is_stopped.wait(PAUSE_SECONDS)
            else:
                self._subscribers.tell({EVERYTHING})  # what was told meanwhile, nobody has heard
                return
