"""The store in one SQLite file: one process writes it, any number read it.

Only SQLite opens the database's files (see `lock`). Checkpoints happen in the writer's only
connection: readers open the file read-only and cannot run any.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from penstock import errors
from penstock.clock import SYSTEM, Clock
from penstock.store.connection import Question
from penstock.store.gathering import Gathering
from penstock.store.interface import SCHEMA_VERSION, Transaction
from penstock.store.lock import WriterLock
from penstock.store.shared_commits import SharedCommits
from penstock.store.sql import Statement, storable_rows
from penstock.store.sqlite_connections import (
    check_version,
    connect,
    connect_to_read,
    has_log,
    lock_path,
    make_private_file,
    open_writer,
    prepared,
    version_of,
)
from penstock.store.sqlite_errors import UNWRITABLE, primary_code, raise_ours, told
from penstock.store.wakes import Callback, Subscribers

T = TypeVar("T")
W = TypeVar("W")
A = TypeVar("A")


class SqliteStore:
    """A store in a file, or in memory. Safe to use from any thread; see `interface.Store`."""

    def __init__(
        self, path: Path | None, writer: sqlite3.Connection | None, lock: WriterLock | None, clock: Clock
    ) -> None:
        self.path = path
        self._writer = writer
        self._lock = lock
        self._clock = clock
        self._subscribers = Subscribers()
        self._gathering = Gathering()
        self._immutable = False
        self._readers: list[sqlite3.Connection] = []
        self._commits = SharedCommits(self._usable_writer, self._note_failure, clock)
        self._mutex = threading.Lock()
        self._broken: str | None = None
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, write: bool, wait: bool = True, purpose: str = "penstock", clock: Clock = SYSTEM
    ) -> SqliteStore:
        """Open the store at ``path``; with ``write``, as its only writer, making it when there is none.

        Raises `StoreBusy` when another process is the writer and ``wait`` is False, `IncompatibleHome`
        when a newer version wrote it, `StoreError` when it is damaged, missing or cannot be written.
        """
        return cls._open_to_write(path, purpose, clock, wait=wait) if write else cls._open_to_read(path, clock)

    @classmethod
    def in_memory(cls, clock: Clock = SYSTEM) -> SqliteStore:
        """A store that is gone when it is closed."""
        return cls(None, prepared(":memory:"), None, clock)

    @classmethod
    def new_file(cls, path: Path, clock: Clock = SYSTEM) -> SqliteStore:
        """A new store in a file of which nobody else knows yet. Raises `StoreError` where there is one already."""
        with told(path):
            if path.exists():
                raise errors.StoreError(f"There is a file already: `{path}`")
            make_private_file(path)
            writer = prepared(str(path))
        return cls(path, writer, None, clock)

    @classmethod
    def _open_to_write(cls, path: Path, purpose: str, clock: Clock, *, wait: bool) -> SqliteStore:
        lock = WriterLock(lock_path(path), purpose, wait=wait)
        try:
            with told(path):
                make_private_file(path)
                writer = open_writer(path)
        except BaseException:
            lock.release()
            raise
        return cls(path, writer, lock, clock)

    @classmethod
    def _open_to_read(cls, path: Path, clock: Clock) -> SqliteStore:
        if not path.exists():
            raise errors.StoreError(f"There is no store: `{path}`", hint="it is made when the first run is looked at")
        store = cls(path, None, None, clock)
        with told(path):
            try:
                reader = connect_to_read(path, immutable=False)
            except sqlite3.OperationalError as error:
                if primary_code(error) not in UNWRITABLE or has_log(path):
                    raise
                # Nothing can be written beside it, not even the shared memory that readers need;
                # and as there is no write-ahead log, nobody is writing.
                store._immutable = True
                reader = connect_to_read(path, immutable=True)
            try:
                check_version(reader)
            except BaseException:
                reader.close()
                raise
        store._readers.append(reader)
        return store

    @property
    def is_writer(self) -> bool:
        return self._writer is not None

    def is_alone(self) -> bool:
        return self.is_writer  # whoever is has the lock

    @contextmanager
    def transaction(self, *, long: bool = False) -> Generator[Transaction]:
        # In memory a commit costs nothing.
        alone = long or self.path is None
        with told(self.path, self._break), self._commits.transaction(alone=alone) as writer:
            connection = _Connection(writer, self.path, self._clock, self._break)
            tx = Transaction(connection, self._clock)
            yield tx
            tx.finish()
            connection.refuse_if_spoilt()
        self._subscribers.tell(tx.topics)

    def run(self, work: Callable[[Transaction], T]) -> T:
        with self.transaction() as tx:
            return work(tx)

    def run_together(
        self,
        about: str,
        wish: W,
        work: Callable[[Transaction, Sequence[W]], Sequence[A | Exception]],
        *,
        weight: int = 1,
    ) -> A:
        return self._gathering.do(about, wish, lambda wishes: self.run(lambda tx: work(tx, wishes)), weight=weight)

    def ask(self, work: Callable[[Transaction], T]) -> T:
        with self.reading() as tx:
            return work(tx)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        return self._subscribers.add(callback)

    def listen(self) -> None:
        """Nothing to do: nobody else writes."""

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        if self.path is None:
            with self._commits.exclusive():
                yield Transaction(_Connection(self._usable_writer(), None, self._clock, self._break), self._clock)
            return
        with told(self.path), self._lent() as reader:
            reader.execute("BEGIN")
            yield Transaction(_Connection(reader, self.path, self._clock), self._clock)

    def backup_to(self, path: Path) -> None:
        """Copy the store as it is now into another SQLite file, while others go on using it."""
        with told(path):
            make_private_file(path)
            target = connect(str(path))
            try:
                if self.path is None:
                    with self._commits.exclusive():
                        self._usable_writer().backup(target)
                else:
                    with self._lent() as source:
                        source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()

    def restore_from(self, path: Path) -> None:
        """Put the contents of a backup in the place of what this store holds, in one step."""
        with self._commits.exclusive(), told(path):
            writer = self._usable_writer()
            source = connect_to_read(path, immutable=False)
            try:
                if (version_of(source) or 0) > SCHEMA_VERSION:
                    check_version(source)
                source.backup(writer)
            finally:
                source.close()
            if self.path is not None:  # it may have been a backup of an older version
                writer.close()
                self._writer = None
                self._writer = open_writer(self.path)

    def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file; nothing if all is well."""
        lent = nullcontext(self._usable_writer()) if self.path is None else self._lent()
        with told(self.path), lent as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    def size(self) -> int:
        with self.reading() as tx:
            return tx.tables.size()

    def close(self) -> None:
        with self._commits.exclusive(), self._mutex:
            if self._closed:
                return
            self._closed = True
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            try:
                if self._writer is not None:
                    self._writer.close()
            finally:
                if self._lock is not None:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _usable_writer(self) -> sqlite3.Connection:
        if self._broken is not None:
            raise errors.StoreError(
                f"The store is not used any more, because writing it failed: {self._broken}",
                hint="mend the disk, then start again",
            )
        if self._closed or self._writer is None:
            raise errors.StoreError(f"The store is not open to be written: `{self.path}`")
        return self._writer

    def _note_failure(self, error: sqlite3.Error) -> None:
        if primary_code(error) == sqlite3.SQLITE_IOERR:
            self._break(str(error))

    def _break(self, reason: str) -> None:
        """After a failed write or sync nothing may be acknowledged: what SQLite says next is not to be trusted."""
        self._broken = reason

    @contextmanager
    def _lent(self) -> Generator[sqlite3.Connection]:
        """A connection that reads, for as long as the block lasts."""
        reader = self._reader()
        try:
            yield reader
        finally:
            try:
                if reader.in_transaction:
                    reader.execute("ROLLBACK")
            finally:
                self._give_back(reader)

    def _reader(self) -> sqlite3.Connection:
        assert self.path is not None
        with self._mutex:
            if self._closed:
                raise errors.StoreError(f"The store is closed: `{self.path}`")
            if self._readers:
                return self._readers.pop()
        return connect_to_read(self.path, immutable=self._immutable)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._mutex:
            if not self._closed:
                self._readers.append(reader)
                return
        reader.close()


class _Connection:
    """One transaction's statements, run by SQLite."""

    __slots__ = ("_break", "_clock", "_connection", "_is_spoilt", "_path")

    dialect = "sqlite"

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path | None,
        clock: Clock,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._clock = clock
        self._break = on_lost
        self._is_spoilt = False

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(*statement.given(values)).fetchall()
        except sqlite3.Error as error:
            self._fail(error)

    def rows_of_each(self, *questions: Question) -> list[list[tuple[Any, ...]]]:
        return [self.rows(statement, **values) for statement, values in questions]

    def run(self, statement: Statement, **values: Any) -> int:
        try:
            return self._connection.execute(*statement.given(values)).rowcount
        except sqlite3.Error as error:
            self._fail(error)

    def run_many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        try:
            self._connection.executemany(statement.text, storable_rows(rows))
        except sqlite3.Error as error:
            self._fail(error)

    def refuse_if_spoilt(self) -> None:
        """Postgres undoes a transaction in which a statement failed, whatever is done about it. So do we."""
        if self._is_spoilt:
            raise errors.StoreError("A transaction in which a statement failed cannot be kept")

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        self._is_spoilt = True
        raise_ours(error, self._path, self._break)

    def stream(self, statement: Statement, portion: int) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        try:
            cursor = self._connection.execute(statement.text)
            columns = tuple(each[0] for each in cursor.description)
            while rows := cursor.fetchmany(portion):
                yield columns, rows
        except sqlite3.Error as error:
            self._fail(error)

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        names = ", ".join(columns)
        values = ", ".join("?" * len(columns))
        text = f"INSERT INTO {table} ({names}) VALUES ({values})"  # noqa: S608  names of our own schema
        try:
            self._connection.executemany(text, storable_rows(rows))
        except sqlite3.Error as error:
            self._fail(error)

    def now(self) -> int:
        return self._clock.now()

    def lock(self, keys: Sequence[str], *, at_once: bool) -> None:
        """There is one writer, so it has all locks."""
