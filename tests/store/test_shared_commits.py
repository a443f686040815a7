"""Threads share commits: what one of them is told was kept is kept, whatever becomes of the others."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from penstock import errors
from penstock.clock import SYSTEM
from penstock.store import shared_commits
from penstock.store.interface import Transaction
from penstock.store.sqlite import SqliteStore

SOON = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore.open(tmp_path / "penstock.db", write=True) as store:
        yield store


def kept(store: SqliteStore) -> set[str]:
    with store.reading() as tx:
        return {row[0] for _, rows in tx.tables.rows("meta") for row in rows} - {"schema_version"}


class Together:
    """Transactions that end while others wait, so that they share a commit."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shared_commits, "LONGEST_SECONDS", SOON)
        monkeypatch.setattr(shared_commits, "LOOK_SECONDS", SOON)
        self.store = store
        self.commits: list[str] = []

    def run(self, *works: Callable[[Transaction], object]) -> list[Future[None]]:
        """Run these one after the other, each begun when the next one waits; returns what became of them."""
        commits = self.store._commits
        self.store._usable_writer().set_trace_callback(
            lambda text: self.commits.append(text) if text == "COMMIT" else None
        )
        begun = [threading.Event() for _ in works]

        def member(number: int) -> None:
            with self.store.transaction() as tx:
                begun[number].set()
                if number + 1 < len(works):
                    until(lambda: commits._waiting > 0)
                works[number](tx)

        with ThreadPoolExecutor(len(works)) as pool:
            futures: list[Future[None]] = []
            for number in range(len(works)):
                futures.append(pool.submit(member, number))
                if number == 0:
                    assert begun[0].wait(SOON)
                else:
                    until(lambda: commits._waiting > 0 or begun[number].is_set())  # noqa: B023  asked at once
                    assert begun[number].wait(SOON)
            for future in futures:
                future.exception(SOON)
        return futures


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does at once, without a signal to wait for."""
    pause, deadline = threading.Event(), SYSTEM.elapsed() + SOON
    while not is_so():
        assert SYSTEM.elapsed() < deadline
        pause.wait(0.001)


@pytest.fixture
def together(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Together:
    return Together(store, monkeypatch)


def put(name: str) -> Callable[[Transaction], object]:
    return lambda tx: tx.meta.put(name, "1")


def fail(tx: Transaction) -> None:
    tx.meta.put("failed", "1")
    raise ZeroDivisionError


def spoil(tx: Transaction) -> None:
    tx.meta.put("spoilt", "1")
    with pytest.raises(errors.StoreError):
        tx.journals.append("run", 0, "main", 0, b"")


def outcomes(futures: list[Future[None]]) -> list[str]:
    return [type(error).__name__ if (error := each.exception()) else "kept" for each in futures]


def test_transactions_that_wait_for_each_other_share_a_commit(together: Together, store: SqliteStore):
    assert outcomes(together.run(put("a"), put("b"), put("c"))) == ["kept"] * 3
    assert kept(store) == {"a", "b", "c"}
    assert len(together.commits) == 1


@pytest.mark.parametrize("work", [fail, spoil])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_fails_undoes_only_what_it_did(together: Together, store: SqliteStore, place: int, work: Any):
    works = [put("a"), put("b")]
    works.insert(place, work)
    found = outcomes(together.run(*works))

    assert found.count("kept") == 2
    assert found[place] in {"ZeroDivisionError", "StoreError"}
    assert kept(store) == {"a", "b"}


def test_a_commit_that_fails_fails_all(together: Together, store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    class Failed(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_FULL

    real = store._usable_writer()
    monkeypatch.setattr(store._commits, "_usable", lambda: FailsToCommit(real, Failed("database or disk is full")))
    assert outcomes(together.run(put("a"), put("b"), put("c"))) == ["StorageFull"] * 3
    assert kept(store) == set()
    monkeypatch.undo()

    store.run(put("d"))
    assert kept(store) == {"d"}


class FailsToCommit:
    def __init__(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        self._connection = connection
        self._error = error

    def execute(self, text: str, *values: Any) -> sqlite3.Cursor:
        if text == "COMMIT":
            raise self._error
        return self._connection.execute(text, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_after_a_failed_sync_nobody_is_told_that_anything_was_kept(
    together: Together, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    class Failed(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def broken(tx: Transaction) -> None:
        tx.meta._connection._fail(Failed("disk I/O error"))  # pyright: ignore[reportAttributeAccessIssue]  as SQLite fails

    assert outcomes(together.run(put("a"), broken, put("b"))) == ["StoreError"] * 3
    with pytest.raises(errors.StoreError, match="not used any more"):
        store.run(put("c"))


def test_where_sqlite_undoes_everything_by_itself_all_are_told(together: Together, store: SqliteStore):
    def undo_everything(tx: Transaction) -> None:
        store._usable_writer().execute("ROLLBACK")
        raise errors.StorageFull("The disk is full", hint="free some space")

    found = together.run(put("a"), put("b"), undo_everything)

    assert outcomes(found) == ["StorageFull"] * 3
    assert str(found[0].exception()) == "The disk is full\nhint: free some space"
    assert kept(store) == set()


def test_an_interrupt_that_undoes_everything_is_told_to_the_others_as_an_error(together: Together, store: SqliteStore):
    def interrupt(tx: Transaction) -> None:
        store._usable_writer().execute("ROLLBACK")
        raise KeyboardInterrupt

    assert outcomes(together.run(put("a"), interrupt)) == ["StoreError", "KeyboardInterrupt"]


def test_who_waits_commits_when_the_one_who_was_to_do_it_has_gone(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared_commits, "LONGEST_SECONDS", SOON)
    commits = store._commits
    commits._waiting += 1  # somebody waits for a turn, and is interrupted
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(store.run, put("a"))
        until(lambda: commits._batch is not None and commits._batch.members > 0)
        commits._waiting -= 1
        done.result(SOON)

    assert kept(store) == {"a"}


def test_a_long_transaction_is_committed_alone_and_keeps_nobody_waiting(together: Together, store: SqliteStore):
    with ThreadPoolExecutor(1) as pool:
        with store.transaction(long=True) as tx:
            waiting = pool.submit(store.run, put("b"))
            until(lambda: store._commits._waiting > 0)
            tx.meta.put("a", "1")
        assert "a" in kept(store)
        waiting.result(SOON)

    assert kept(store) == {"a", "b"}


def test_readers_do_not_wait_for_who_writes(store: SqliteStore):
    with store.transaction() as tx, ThreadPoolExecutor(1) as pool:
        tx.meta.put("a", "1")
        assert pool.submit(kept, store).result(SOON) == set()


def test_closing_waits_for_who_writes_and_commits_what_has_ended(store: SqliteStore, tmp_path: Path):
    with ThreadPoolExecutor(1) as pool, store.transaction() as tx:
        closing = pool.submit(store.close)
        until(lambda: store._commits._waiting > 0)
        tx.meta.put("a", "1")
    closing.result(SOON)

    with SqliteStore.open(tmp_path / "penstock.db", write=False) as again:
        assert kept(again) == {"a"}


@pytest.mark.slow
def test_what_many_threads_were_told_is_there_after_kill_9(tmp_path: Path):
    script = """
        import os, sys, threading
        from pathlib import Path
        from penstock.store.sqlite import SqliteStore
        store = SqliteStore.open(Path(sys.argv[1]), write=True)
        def write(thread):
            for number in range(100000):
                with store.transaction() as tx:
                    tx.meta.put(f"{thread}-{number}", "1")
                    if number % 7 == 3:
                        tx.meta.put("x" * 5000, str(number))
                os.write(1, f"{thread}-{number}\\n".encode())
        for thread in range(16):
            threading.Thread(target=write, args=(thread,)).start()
    """
    path = tmp_path / "penstock.db"
    program = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(1500)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()

    told = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
    assert len(told) >= 1500
    with SqliteStore.open(path, write=True) as store:
        assert told <= kept(store)
        assert store.check() == []
