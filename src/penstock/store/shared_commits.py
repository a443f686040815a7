"""Transactions of several threads that share one COMMIT, because each costs the disk a sync.

SQLite has one writer, so transactions come one after the other. When one ends and others wait for
their turn, it is not committed yet: the next one goes on in the same transaction of SQLite, behind a
savepoint. Whoever ends while nobody waits commits for all. Nobody is told that a transaction was
kept before that; if the commit fails, all of them failed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from penstock import errors
from penstock.clock import Clock

MAX_TOGETHER = 256
LONGEST_SECONDS = 0.002
"""Who has ended waits so long for others who share the commit, and for the end of whoever has begun by then."""

LOOK_SECONDS = 0.02
"""Who waits for the commit looks so often whether anybody is still there to make it."""


class _Batch:
    """Transactions that are committed together."""

    __slots__ = ("connection", "done", "error", "members", "opened_at")

    def __init__(self, connection: sqlite3.Connection, opened_at: float) -> None:
        self.connection = connection
        self.opened_at = opened_at
        self.members = 0
        self.done = threading.Event()
        self.error: BaseException | None = None


class SharedCommits:
    """The turns of threads on one connection.

    ``usable`` returns the connection, or raises when nothing may be committed on it any more.
    ``failed`` is told what a commit raised, before anybody else has a turn.
    """

    def __init__(
        self, usable: Callable[[], sqlite3.Connection], failed: Callable[[sqlite3.Error], object], clock: Clock
    ) -> None:
        self._usable = usable
        self._failed = failed
        self._clock = clock
        self._turn = threading.Lock()
        self._owner: int | None = None
        self._count = threading.Lock()
        self._waiting = 0
        self._batch: _Batch | None = None

    @property
    def is_mine(self) -> bool:
        """Whether it is this thread's turn."""
        return self._owner == threading.get_ident()

    @contextmanager
    def transaction(self, *, alone: bool) -> Generator[sqlite3.Connection]:
        """A transaction on the connection. When this returns it is committed, with others unless ``alone``.

        Raises sqlite3's errors, or that of another transaction which has undone this one too.
        """
        if self.is_mine:
            raise errors.StoreError("A transaction cannot begin within another one")
        with self._taking_turn():
            if alone:
                self._commit()
            batch = self._open_batch()
            connection = batch.connection
            is_first = batch.members == 0
            try:
                if not is_first:
                    connection.execute("SAVEPOINT member")
                yield connection
                if not is_first:
                    connection.execute("RELEASE member")
                batch.members += 1
            except BaseException as error:
                self._undo(batch, error, is_first=is_first)
                raise
            finally:
                if alone or not self._waiting or self._is_full(batch):
                    self._commit()
        self._wait_for(batch)

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Use the connection for something else. Within a transaction of this thread, see what it has written."""
        if self.is_mine:
            yield
            return
        with self._taking_turn():
            self._commit()
            yield

    @contextmanager
    def _taking_turn(self) -> Generator[None]:
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        finally:
            with self._count:
                self._waiting -= 1
        try:
            self._owner = threading.get_ident()
            yield
        finally:
            self._owner = None
            self._turn.release()

    def _open_batch(self) -> _Batch:
        if self._batch is None:
            connection = self._usable()
            connection.execute("BEGIN IMMEDIATE")
            self._batch = _Batch(connection, self._clock.elapsed())
        return self._batch

    def _is_full(self, batch: _Batch) -> bool:
        return batch.members >= MAX_TOGETHER or self._clock.elapsed() - batch.opened_at > LONGEST_SECONDS

    def _undo(self, batch: _Batch, error: BaseException, *, is_first: bool) -> None:
        """Undo what one transaction did; or, where SQLite has undone everything by itself, give up all of them."""
        connection = batch.connection
        try:
            if connection.in_transaction and not is_first:
                connection.execute("ROLLBACK TO member")
                connection.execute("RELEASE member")
            elif connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error as worse:
            error = worse
            _roll_back(connection)
        if not connection.in_transaction:
            self._batch = None
            batch.error = error
            batch.done.set()

    def _commit(self) -> None:
        """Commit for all; each of them is told what came of it."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        connection = batch.connection
        try:
            self._usable().execute("COMMIT")
        except sqlite3.Error as error:
            batch.error = error
            self._failed(error)
        except errors.StoreError as error:
            batch.error = error
        finally:
            if connection.in_transaction:
                batch.error = batch.error or errors.StoreError("The commit was interrupted, and nothing was kept")
                _roll_back(connection)
            batch.done.set()

    def _wait_for(self, batch: _Batch) -> None:
        while not batch.done.wait(LOOK_SECONDS):
            # Whoever was to commit may have been interrupted before its turn came.
            with self._taking_turn():
                if self._batch is batch and not self._waiting:
                    self._commit()
        if isinstance(batch.error, errors.PenstockError):
            raise type(batch.error)(batch.error.message, hint=batch.error.hint) from batch.error
        if isinstance(batch.error, sqlite3.Error):
            raise batch.error
        if batch.error is not None:
            raise errors.StoreError("Another transaction, which was interrupted, has undone this one") from batch.error


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # with the connection it is undone at the latest
