"""Postgres restarts, kills its connections, or falls silent: nothing acknowledged is lost, and work goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random  # noqa: TID251  seeded: the same faults each time
from typing import Any, Self

import pytest
from tests.postgres import Cluster

from penstock import errors
from penstock.clock import SYSTEM
from penstock.store import wakes
from penstock.store.interface import Transaction
from penstock.store.wakes import EVERYTHING

psycopg = pytest.importorskip("psycopg")
postgres = pytest.importorskip("penstock.store.postgres")
postgres_session = pytest.importorskip("penstock.store.postgres_session")

pytestmark = pytest.mark.slow

THREADS = 6
SOON = 60.0


class Writers:
    """Threads that write under keys, as clients do: what they are not sure of they send again, and it is done once."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.acknowledged: list[list[str]] = [[] for _ in range(THREADS)]
        self.unsure = 0
        self.refused = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(SOON)
            assert not thread.is_alive(), "a thread hangs"

    def wait_for(self, more: int) -> None:
        """Until so many more are acknowledged."""
        wanted = self.count() + more
        deadline = SYSTEM.elapsed() + SOON
        while self.count() < wanted:
            assert SYSTEM.elapsed() < deadline, "nothing is written any more"
            self._is_over.wait(0.01)

    def count(self) -> int:
        return sum(map(len, self.acknowledged))

    def _write(self, thread: int) -> None:
        chance = Random(thread)
        number = 0
        while not self._is_over.is_set():
            locks = chance.sample(["a", "b", "c"], 2)
            if chance.random() > 0.02:  # of the others, some wait for each other, the first time
                locks.sort()
            try:
                self.store.run(self._once(f"{thread}-{number}", locks))
            except errors.UnknownOutcome:
                self.unsure += 1
            except errors.StoreUnreachable:
                self.refused += 1
            else:
                self.acknowledged[thread].append(f"{thread}-{number}")
                number += 1

    @staticmethod
    def _once(key: str, locks: list[str]) -> Callable[[Transaction], None]:
        tries = iter([locks])

        def work(tx: Transaction) -> None:
            for lock in next(tries, sorted(locks)):
                tx.lock(lock)
            if tx.meta.value(key) is None:
                tx.meta.put(key, "1")
                tx.lock("count")
                tx.meta.put("count", str(int(tx.meta.value("count") or 0) + 1))

        return work

    def check(self) -> None:
        """What was acknowledged is there, and was done once."""
        with self.store.reading() as tx:
            there = {row[0] for _, rows in tx.tables.rows("meta") for row in rows if "-" in row[0]}
            assert {key for keys in self.acknowledged for key in keys} <= there
            assert tx.meta.value("count") == str(len(there))


@contextmanager
def opened(url: str) -> Generator[Any]:
    with postgres.PostgresStore.open(url, write=True) as store:
        yield store


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarts_lose_nothing_and_nobody_has_to_be_started_again(own_postgres: Cluster, mode: str):
    heard = Topics()
    with opened(own_postgres.new_database()) as store:
        store.subscribe(heard)
        store.listen()
        with Writers(store) as writers:
            for _ in range(3):
                writers.wait_for(50)
                own_postgres.restart(mode)
            writers.wait_for(50)
        writers.check()
        assert heard.wait_for(EVERYTHING)
        assert store.check() == []


def test_connections_that_are_killed_and_deadlocks_are_got_over_without_a_word(own_postgres: Cluster):
    url = own_postgres.new_database()
    chance = Random(7)
    killed = 0
    with opened(url) as store, Writers(store) as writers, psycopg.connect(plain(url), autocommit=True) as killer:
        while killed < 25:
            pids = [row[0] for row in killer.execute(PIDS).fetchall()]
            if pids:
                killed += killer.execute("SELECT pg_terminate_backend(%s)", [chance.choice(pids)]).rowcount
            writers.wait_for(2 * THREADS)
        writers.wait_for(50)

    with opened(url) as store:
        writers.store = store
        writers.check()
    assert writers.refused == 0


PIDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_a_server_that_falls_silent_is_given_up_within_15_seconds_and_found_again(own_postgres: Cluster):
    url = own_postgres.new_database()
    with Tunnel(own_postgres.port) as tunnel, opened(tunnel.url(url)) as store:
        with ThreadPoolExecutor(4) as pool:  # so that several connections lie idle
            list(pool.map(lambda number: store.run(lambda tx: tx.meta.put(f"a{number}", "1")), range(8)))
        tunnel.is_silent = True
        with ThreadPoolExecutor(8) as pool:
            waited = list(pool.map(lambda number: seconds_to_fail(store, number), range(8)))
        tunnel.is_silent = False

        assert max(waited) < 15
        healed_at = SYSTEM.elapsed()
        until_it_works(lambda: store.run(lambda tx: tx.meta.put("b", "1")))
        assert SYSTEM.elapsed() - healed_at < 15
        assert store.ask(lambda tx: tx.meta.value("b")) == "1"


def seconds_to_fail(store: Any, number: int) -> float:
    started = SYSTEM.elapsed()
    with pytest.raises(errors.StoreUnreachable):
        if number % 2:
            store.run(lambda tx: tx.meta.put(f"c{number}", "1"))
        else:
            store.ask(lambda tx: tx.meta.value("a"))
    return SYSTEM.elapsed() - started


def until_it_works(call: Callable[[], object]) -> None:
    deadline = SYSTEM.elapsed() + SOON
    while True:
        try:
            call()
        except errors.StoreUnreachable:
            assert SYSTEM.elapsed() < deadline
        else:
            return


def test_a_listener_notices_that_nothing_can_reach_it(own_postgres: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wakes, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(postgres_session.Session, "answer_seconds", 1.0)
    url = own_postgres.new_database()
    heard = Topics()
    with Tunnel(own_postgres.port) as tunnel, opened(url) as near, opened(tunnel.url(url)) as far:
        far.subscribe(heard)
        far.listen()
        tunnel.is_silent = True
        near.run(lambda tx: tx.wake("while it is silent"))
        assert tunnel.has_held_back.wait(SOON)
        tunnel.cut()
        tunnel.is_silent = False
        assert heard.wait_for(EVERYTHING)
        near.run(lambda tx: tx.wake("again"))
        assert heard.wait_for("again")


class Topics:
    """What a subscriber has heard."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self._changed = threading.Condition()

    def __call__(self, topics: frozenset[str]) -> None:
        with self._changed:
            self.heard |= topics
            self._changed.notify_all()

    def wait_for(self, topic: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: topic in self.heard, SOON)


class Tunnel:
    """Passes a port's bytes on, until it is silent: then it takes all that comes, and lets nothing through."""

    def __init__(self, port: int) -> None:
        self.is_silent = False
        self.has_held_back = threading.Event()
        self._target = port
        self._open: list[socket.socket] = []
        self._is_over = False
        self._mutex = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def url(self, url: str) -> str:
        return url.replace(f":{self._target}/", f":{self.port}/")

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """End all connections that go through it."""
        with self._mutex:
            ends, self._open = self._open, []
        for end in ends:
            with_no_error(lambda end=end: end.shutdown(socket.SHUT_RDWR))
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            with self._mutex:
                self._open += [near, far]
            if self._is_over:
                self.cut()
                return
            for here, there in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(here, there), daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        while True:
            try:
                data = here.recv(65536)
                if self.is_silent and data:
                    self.has_held_back.set()
                    continue
                if not data:
                    there.shutdown(socket.SHUT_WR)
                    return
                there.sendall(data)
            except OSError:
                return


def with_no_error(call: Callable[[], object]) -> None:
    try:
        call()
    except OSError:
        pass
