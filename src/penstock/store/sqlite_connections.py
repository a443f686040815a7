"""Connections to a file of SQLite: to read it, or, of one process at a time, to write it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from penstock import errors, telemetry
from penstock.store.interface import SCHEMA_VERSION
from penstock.store.sql import statements
from penstock.store.upgrading import refuse_unless_current, upgrade_sqlite

BUSY_SECONDS = 60.0
"""How long SQLite waits for another connection, which never holds a lock for long."""


def lock_path(path: Path) -> Path:
    """The file whose lock is the right to write the store."""
    return path.with_name(f"{path.name}.lock")


def connect(target: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256, uri=uri
    )
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, *, immutable: bool) -> sqlite3.Connection:
    connection = connect(f"{path.absolute().as_uri()}?{'immutable=1' if immutable else 'mode=ro'}", uri=True)
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


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection for the one who has the right to write, with tables of this version below it."""
    writer = _connect_to_write(path)
    try:
        version = version_of(writer)
        if version is None or version == SCHEMA_VERSION:
            prepare(writer)
            return writer
        if version > SCHEMA_VERSION:
            refuse_unless_current(version)
        keep_copy(writer, path.with_name(f"{path.name}.schema-{version}"))
    except BaseException:
        writer.close()
        raise
    writer.close()
    upgrade_sqlite(lambda: connect(str(path)))
    telemetry.emit("store.upgraded", store=str(path), before=version, now=SCHEMA_VERSION)
    return _connect_to_write(path)


def _connect_to_write(path: Path) -> sqlite3.Connection:
    writer = connect(str(path))
    try:
        _set_up_writing(writer)
    except BaseException:
        writer.close()
        raise
    return writer


def keep_copy(source: sqlite3.Connection, path: Path) -> None:
    """A backup from before an upgrade: it is there as a whole or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    make_private_file(unfinished)
    target = connect(str(unfinished))
    try:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()
    os.replace(unfinished, path)


def prepared(target: str) -> sqlite3.Connection:
    """A connection to a new database, with its tables."""
    writer = connect(target)
    try:
        prepare(writer)
    except BaseException:
        writer.close()
        raise
    return writer


def prepare(writer: sqlite3.Connection) -> None:
    """Make the tables of a new store; in one that has them already, do nothing."""
    if version_of(writer) is not None:
        return
    writer.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements("schema").values():
            writer.execute(statement.text)
        writer.execute("INSERT INTO meta (name, value) VALUES ('schema_version', ?)", (str(SCHEMA_VERSION),))
        writer.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (str(SCHEMA_VERSION),))
        writer.execute("COMMIT")
    except BaseException:
        if writer.in_transaction:
            writer.execute("ROLLBACK")
        raise


class UnfinishedStore(errors.StoreError):
    """There is a file, but nothing in it yet: somebody is making it, or could not for want of room."""


def version_of(connection: sqlite3.Connection) -> int | None:
    """The version of the tables; None while there are none."""
    if not connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]:
        return None
    found = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    return int(found[0]) if found else 0


def check_version(connection: sqlite3.Connection) -> None:
    version = version_of(connection)
    if version is None:
        raise UnfinishedStore("The store is still being made", hint="try again in a moment")
    refuse_unless_current(version)


def has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def make_private_file(path: Path) -> None:
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
