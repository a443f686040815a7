"""The store in one SQLite file: one process writes it, any number read it.

Only SQLite opens the database's files (see `lock`). Checkpoints happen in the writer's only
connection: readers open the file read-only and cannot run any.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

from penstock import errors
from penstock.store.interface import SCHEMA_VERSION, Transaction
from penstock.store.lock import WriterLock
from penstock.store.rows import Segment
from penstock.store.sql import Statement, statements

BUSY_SECONDS = 60.0
"""How long SQLite waits for another connection, which never holds a lock for long."""


class SqliteStore:
    """A store in a file, or in memory. Safe to use from any thread; see `interface.Store`."""

    def __init__(
        self, path: Path | None, writer: sqlite3.Connection | None, lock: WriterLock | None, *, immutable: bool = False
    ) -> None:
        self.path = path
        self._writer = writer
        self._lock = lock
        self._immutable = immutable
        self._readers: list[sqlite3.Connection] = []
        self._mutex = threading.RLock()
        self._broken: str | None = None
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, write: bool, wait: bool = True, purpose: str = "penstock") -> SqliteStore:
        """Open the store at ``path``; with ``write``, as its only writer, making it when there is none.

        Raises `StoreBusy` when another process is the writer and ``wait`` is False, `IncompatibleHome`
        when a newer version wrote it, `StoreError` when it is damaged, missing or cannot be written.
        """
        return cls._open_to_write(path, purpose, wait=wait) if write else cls._open_to_read(path)

    @classmethod
    def in_memory(cls) -> SqliteStore:
        """A store that is gone when it is closed."""
        writer = _connect(":memory:")
        _prepare(writer)
        return cls(None, writer, None)

    @classmethod
    def _open_to_write(cls, path: Path, purpose: str, *, wait: bool) -> SqliteStore:
        lock = WriterLock(lock_path(path), purpose, wait=wait)
        writer: sqlite3.Connection | None = None
        try:
            with told(path):
                _make_private_file(path)
                writer = _connect(str(path))
                _set_up_writing(writer)
                _prepare(writer)
        except BaseException:
            if writer is not None:
                writer.close()
            lock.release()
            raise
        return cls(path, writer, lock)

    @classmethod
    def _open_to_read(cls, path: Path) -> SqliteStore:
        if not path.exists():
            raise errors.StoreError(f"There is no store: `{path}`", hint="it is made when the first run is looked at")
        store = cls(path, None, None)
        with told(path):
            try:
                reader = _connect_to_read(path, immutable=False)
            except sqlite3.OperationalError as error:
                if _primary(error) not in _UNWRITABLE or _has_log(path):
                    raise
                # Nothing can be written beside it, not even the shared memory that readers need;
                # and as there is no write-ahead log, nobody is writing.
                store._immutable = True
                reader = _connect_to_read(path, immutable=True)
            try:
                _check_version(reader)
            except BaseException:
                reader.close()
                raise
        store._readers.append(reader)
        return store

    @property
    def is_writer(self) -> bool:
        return self._writer is not None

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        with self._mutex:
            writer = self._usable_writer()
            if writer.in_transaction:
                raise errors.StoreError("A transaction cannot begin within another one")
            with told(self.path, self._break):
                writer.execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(_Connection(writer, self.path, self._break))
                    writer.execute("COMMIT")
                except BaseException:
                    if writer.in_transaction:
                        writer.execute("ROLLBACK")
                    raise

    @contextmanager
    def reading(self) -> Generator[Transaction]:
        if self.path is None:
            with self._mutex:
                yield Transaction(_Connection(self._usable_writer(), None, self._break))
            return
        with told(self.path):
            reader = self._reader()
            try:
                reader.execute("BEGIN")
                yield Transaction(_Connection(reader, self.path))
            finally:
                if reader.in_transaction:
                    reader.execute("ROLLBACK")
                self._give_back(reader)

    def backup_to(self, path: Path) -> None:
        """Copy the store as it is now into another SQLite file, while others go on using it."""
        with told(path):
            _make_private_file(path)
            target = _connect(str(path))
            try:
                with self._mutex if self.path is None else _nothing():
                    source = self._usable_writer() if self.path is None else self._reader()
                    source.backup(target)
                    if self.path is not None:
                        self._give_back(source)
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                target.close()

    def restore_from(self, path: Path) -> None:
        """Put the contents of a backup in the place of what this store holds, in one step."""
        with self._mutex, told(path):
            source = _connect_to_read(path, immutable=False)
            try:
                _check_version(source)
                source.backup(self._usable_writer())
            finally:
                source.close()
            _set_up_writing(self._usable_writer())

    def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file; nothing if all is well."""
        with told(self.path):
            connection = self._usable_writer() if self.path is None else self._reader()
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
            if self.path is not None:
                self._give_back(connection)
        return [] if found == ["ok"] else found

    def close(self) -> None:
        with self._mutex:
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

    def _break(self, reason: str) -> None:
        """After a failed write or sync nothing may be acknowledged: what SQLite says next is not to be trusted."""
        self._broken = reason

    def _reader(self) -> sqlite3.Connection:
        assert self.path is not None
        with self._mutex:
            if self._closed:
                raise errors.StoreError(f"The store is closed: `{self.path}`")
            if self._readers:
                return self._readers.pop()
        return _connect_to_read(self.path, immutable=self._immutable)

    def _give_back(self, reader: sqlite3.Connection) -> None:
        with self._mutex:
            if not self._closed:
                self._readers.append(reader)
                return
        reader.close()


class _Connection:
    """One transaction's statements, run by SQLite."""

    __slots__ = ("_break", "_connection", "_path")

    dialect = "sqlite"

    def __init__(
        self, connection: sqlite3.Connection, path: Path | None, on_lost: Callable[[str], None] | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self._break = on_lost

    def rows(self, statement: Statement, **values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(*statement.given(values)).fetchall()
        except sqlite3.Error as error:
            _raise(error, self._path, self._break)

    def run(self, statement: Statement, **values: Any) -> int:
        try:
            return self._connection.execute(*statement.given(values)).rowcount
        except sqlite3.Error as error:
            _raise(error, self._path, self._break)

    def run_many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        try:
            self._connection.executemany(statement.text, rows)
        except sqlite3.Error as error:
            _raise(error, self._path, self._break)


def lock_path(path: Path) -> Path:
    """The file whose lock is the right to write the store."""
    return path.with_name(f"{path.name}.lock")


def move_aside(path: Path, suffix: str, now: int) -> Path:
    """Move a database out of the way, with what belongs to it; says where it lies now.

    Raises `StoreBusy` while a process is writing it.
    """
    lock = WriterLock(lock_path(path), "moving the database aside", wait=False)
    try:
        target = path.with_name(path.name + suffix)
        if target.exists():
            target = path.with_name(f"{path.name}{suffix}-{now}")
        for ending in ("-shm", "-wal", ""):
            found = path.with_name(path.name + ending)
            if found.exists():
                os.replace(found, target.with_name(target.name + ending))
    finally:
        lock.release()
    return target


def salvage(path: Path) -> Iterator[tuple[Segment, bytes] | None]:
    """What can be read of the event log in a damaged database, in order; None for a piece that cannot."""
    try:
        connection = _connect(str(path))
    except sqlite3.Error:
        return
    try:
        after = failures = 0
        while failures < MOST_FAILURES:
            try:
                row = connection.execute(
                    "SELECT sequence, run_id, attempt, writer, start_offset, end_offset, frames"
                    " FROM journal_segment WHERE sequence > ? ORDER BY sequence LIMIT 1",
                    (after,),
                ).fetchone()
            except sqlite3.Error:
                # Damaged pages fail one after the other; past them, the rest may be sound.
                after += 1
                failures += 1
                yield None
                continue
            if row is None:
                return
            yield Segment(*row[:6]), row[6]
            after, failures = row[0], 0
    finally:
        connection.close()


MOST_FAILURES = 1000
"""So many pieces in a row that cannot be read: there is nothing more to be had."""


@contextmanager
def told(path: Path | None, on_lost: Callable[[str], None] | None = None) -> Generator[None]:
    """Raise SQLite's errors as Penstock's."""
    try:
        yield
    except sqlite3.Error as error:
        _raise(error, path, on_lost)


def _raise(error: sqlite3.Error, path: Path | None, on_lost: Callable[[str], None] | None = None) -> NoReturn:
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL:
        raise errors.StorageFull(
            f"The disk is full, so the store cannot be written: `{path}`",
            hint="free some space; runs go on, and nothing that is in their journals is lost",
        ) from error
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise errors.StoreError(
            f"The store is damaged ({error}): `{path}`",
            hint="`penstock db rebuild` makes it anew from what can be read of it and from the journals",
        ) from error
    if code in _UNWRITABLE:
        raise errors.StoreError(
            f"The store cannot be opened or written ({error}): `{path}`",
            hint="check the owner and permissions of the home, or set PENSTOCK_HOME to one that can be written",
        ) from error
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise errors.StoreBusy(f"Another process is using the store ({error}): `{path}`") from error
    if code == sqlite3.SQLITE_IOERR and on_lost is not None:
        on_lost(str(error))
    raise errors.StoreError(f"The store cannot be used ({error}): `{path}`") from error


_UNWRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})


def _primary(error: sqlite3.Error) -> int:
    """SQLite's code without the finer distinction; -1 where the driver itself complains."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if hasattr(error, "sqlite_errorcode") else -1


def _connect(target: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256, uri=uri
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _connect_to_read(path: Path, *, immutable: bool) -> sqlite3.Connection:
    connection = _connect(f"{path.absolute().as_uri()}?{'immutable=1' if immutable else 'mode=ro'}", uri=True)
    try:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up_writing(writer: sqlite3.Connection) -> None:
    if writer.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute("PRAGMA wal_autocheckpoint = 4000")
    writer.execute("PRAGMA journal_size_limit = 67108864")
    writer.execute("PRAGMA cache_size = -65536")


def _prepare(writer: sqlite3.Connection) -> None:
    """Make the tables of a new store; refuse one that this version does not understand."""
    if _has_tables(writer):
        _check_version(writer)
        return
    writer.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements("schema").values():
            writer.execute(statement.text)
        writer.execute("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        writer.execute("COMMIT")
    except BaseException:
        if writer.in_transaction:
            writer.execute("ROLLBACK")
        raise


class UnfinishedStore(errors.StoreError):
    """There is a file, but nothing in it yet: somebody is making it, or could not for want of room."""


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0])


def _check_version(connection: sqlite3.Connection) -> None:
    if not _has_tables(connection):
        raise UnfinishedStore("The store is still being made", hint="try again in a moment")
    found = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    version = int(found[0]) if found else 0
    if version > SCHEMA_VERSION:
        raise errors.IncompatibleHome(
            f"A newer version of Penstock wrote this store: its schema is {version}, known is {SCHEMA_VERSION}",
            hint="upgrade Penstock, or set PENSTOCK_HOME to another folder",
        )


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _make_private_file(path: Path) -> None:
    """Make the file for its owner alone, whatever the umask, before SQLite does: its companions take after it.

    Exclusively, so that the descriptor that is closed here is never one of a database in use.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise errors.StoreError(f"The store cannot be made ({error.strerror}): `{path}`") from error
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


@contextmanager
def _nothing() -> Generator[None]:
    yield
