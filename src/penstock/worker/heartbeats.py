"""Heartbeats: the worker lives, and so do its runs. What the answers grant is written into the leases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from penstock import clock, errors
from penstock.client.server import CLOSE_SECONDS, Server
from penstock.core.operations.work import AwaitOrders, Heartbeat, Held, Judged
from penstock.core.work import HEARTBEAT_SECONDS, LEASE_MARGIN_SECONDS, POLL_SECONDS, Verdict

RETRY_SECONDS = 1.0
"""After a heartbeat that the server has not heard."""


_PAUSES = (Verdict.PAUSE, Verdict.GO_ON)
"""Orders that are followed at once."""


class Charge(Protocol):
    """An attempt in a worker's care."""

    run_id: str
    attempt: int

    def extend_lease(self, deadline: float) -> None:
        """It is known to be the run's only attempt until then."""
        ...

    def judge(self, verdict: Verdict, reason: str) -> None:
        """What the server wants of it: mostly that it goes on."""
        ...


class Pauses:
    """Which attempts are paused: orders and heartbeats both tell, over connections of their own.

    A heartbeat's answer may be older than an order that came while it was under way, so it changes nothing then: the
    next one tells.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paused: set[tuple[str, int]] = set()
        self._ordered_at: dict[tuple[str, int], float] = {}

    def run_ids(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted({run_id for run_id, _ in self._paused}))

    def forget_all_but(self, charges: Callable[[], Sequence[Charge]]) -> None:
        """All other attempts are over."""
        with self._lock:  # whoever is noted before this is asked was in care then
            keys = {(each.run_id, each.attempt) for each in charges()}
            self._paused &= keys
            self._ordered_at = {key: at for key, at in self._ordered_at.items() if key in keys}

    def ordered(self, charge: Charge, told: Judged) -> None:
        """An order has come."""
        with self._lock:
            self._ordered_at[charge.run_id, charge.attempt] = clock.boottime()
            self._follow(charge, told)

    def heard(self, charge: Charge, told: Judged, asked_at: float) -> None:
        """A heartbeat that was sent at ``asked_at`` is answered."""
        key = charge.run_id, charge.attempt
        with self._lock:
            is_late = told.verdict in _PAUSES and self._ordered_at.get(key, 0.0) >= asked_at
            if not is_late and (told.verdict is not Verdict.GO_ON or key in self._paused):
                self._follow(charge, told)

    def _follow(self, charge: Charge, told: Judged) -> None:
        key = charge.run_id, charge.attempt
        charge.judge(told.verdict, told.reason)
        if told.verdict is Verdict.PAUSE:
            self._paused.add(key)
        else:
            self._paused.discard(key)


class Heartbeats:
    """A thread that tells the server every few seconds which attempts live, over a connection of its own."""

    def __init__(
        self,
        server: Server,
        worker_id: str,
        charges: Callable[[], Sequence[Charge]],
        pauses: Pauses,
        *,
        interval_seconds: float,
        lease_seconds: float,
        when_unknown: Callable[[], None] = lambda: None,
    ) -> None:
        """``when_unknown`` is called when the server knows no such worker (any more)."""
        self._server = server
        self._worker_id = worker_id
        self._charges = charges
        self._pauses = pauses
        self._interval_seconds = interval_seconds
        self._lease_seconds = lease_seconds
        self._when_unknown = when_unknown
        self._wanted = threading.Event()
        self._closing = False
        self.is_draining = False
        self._thread = threading.Thread(target=self._beat_on, name="penstock-heartbeats", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def soon(self) -> None:
        """Do not wait for the next one's time: there is something new."""
        self._wanted.set()

    def close(self) -> None:
        self._closing = True
        self._wanted.set()
        self._thread.join(CLOSE_SECONDS)

    def beat(self) -> None:
        """Tell the server once, and do as it says."""
        charges = {(each.run_id, each.attempt): each for each in self._charges()}
        held = tuple(Held(run_id=run_id, attempt=attempt) for run_id, attempt in charges)
        # What is granted began no earlier than this, whenever the answer comes.
        asked_at = clock.boottime()
        judged = self._server.ask(Heartbeat(worker_id=self._worker_id, runs=held, draining=self.is_draining))
        against = {(each.run_id, each.attempt): each for each in judged}
        deadline = asked_at + self._lease_seconds - LEASE_MARGIN_SECONDS
        for key, charge in charges.items():
            told = against.get(key) or Judged(run_id=key[0], attempt=key[1], verdict=Verdict.GO_ON)
            if told.verdict is not Verdict.SUPERSEDED:
                charge.extend_lease(deadline)
            self._pauses.heard(charge, told, asked_at)

    def _beat_on(self) -> None:
        while not self._closing:
            self._wanted.clear()
            pause = self._interval_seconds
            try:
                self.beat()
            except errors.NotFound:
                self._when_unknown()
            except (errors.PenstockError, OSError):
                # Leases run out meanwhile, as they are meant to. A server that comes and goes is met when it is there.
                pause = min(pause, RETRY_SECONDS)
            self._wanted.wait(pause)
        self._server.close()


class Orders:
    """A thread that hears at once, and not with the next heartbeat, of runs that are to end, to pause or to go on."""

    def __init__(self, server: Server, worker_id: str, charges: Callable[[], Sequence[Charge]], pauses: Pauses) -> None:
        self._server = server
        self._worker_id = worker_id
        self._charges = charges
        self._pauses = pauses
        self._closing = threading.Event()
        # It may wait for an answer for long: nobody waits for it.
        self._thread = threading.Thread(target=self._await_on, name="penstock-orders", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Do no more as the server says."""
        self._closing.set()

    def _await_on(self) -> None:
        known: set[tuple[str, int]] = set()
        while not self._closing.is_set():
            ids = self._pauses.run_ids()
            try:
                orders = self._server.ask(AwaitOrders(worker_id=self._worker_id, paused=ids, wait_seconds=POLL_SECONDS))
            except (errors.PenstockError, OSError):
                self._closing.wait(HEARTBEAT_SECONDS)  # heartbeats tell as well
                continue
            if self._closing.is_set():
                break
            told = {(each.run_id, each.attempt): each for each in orders}
            charges = {(each.run_id, each.attempt): each for each in self._charges()}
            followed = told.keys() & charges.keys()
            for key in followed:
                self._pauses.ordered(charges[key], told[key])
            ending = {key for key in told if key not in followed or told[key].verdict not in _PAUSES}
            if ending <= known and len(ending) == len(told):
                self._closing.wait(1.0)  # these are being ended; that takes its time
            known = ending
            self._pauses.forget_all_but(self._charges)
        self._server.close()
