"""What is done to the file of a store as a whole: checked, read though it is old or damaged, put aside."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock import errors
from penstock.store.interface import SCHEMA_VERSION
from penstock.store.lock import WriterLock
from penstock.store.rows import Segment
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_connections import check_version, connect, connect_to_read, keep_copy, lock_path, version_of
from penstock.store.sqlite_errors import told


def problems_of(path: Path) -> list[str]:
    """What SQLite finds wrong with a store of any version up to this one that is in no use; nothing if all is well.

    Raises `StoreError` where there is no store.
    """
    if not path.exists():
        raise errors.StoreError(f"There is no store: `{path}`")
    with told(path):
        connection = connect_to_read(path, immutable=False)
        try:
            version = version_of(connection)
            if version is None or version > SCHEMA_VERSION:
                check_version(connection)
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        finally:
            connection.close()
    return [] if found == ["ok"] else found


@contextmanager
def up_to_date(path: Path) -> Generator[SqliteStore]:
    """Read a backup of this version or an older one: the older one in a copy of it, which is upgraded."""
    with told(path):
        source = connect_to_read(path, immutable=False)
        try:
            is_older = (version_of(source) or SCHEMA_VERSION) < SCHEMA_VERSION
            folder = tempfile.TemporaryDirectory(prefix=".penstock-", dir=path.parent) if is_older else None
            if folder is not None:
                path = Path(folder.name) / path.name
                keep_copy(source, path)
        finally:
            source.close()
    try:
        if folder is not None:
            SqliteStore.open(path, write=True).close()
        with SqliteStore.open(path, write=False) as store:
            yield store
    finally:
        if folder is not None:
            folder.cleanup()


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
    statement = (
        "SELECT sequence, run_id, attempt, writer, start_offset, end_offset, frames"
        " FROM journal_segment WHERE sequence > ? ORDER BY sequence LIMIT 1"
    )
    for row in _readable(path, statement):
        yield None if row is None else (Segment(*row[:6]), row[6])


def salvage_deleted(path: Path) -> Iterator[tuple[str, int]]:
    """Which runs were deleted, and when, as far as that can be read in a damaged database."""
    statement = "SELECT rowid, run_id, deleted_at FROM deleted_run WHERE rowid > ? ORDER BY rowid LIMIT 1"
    return ((row[1], row[2]) for row in _readable(path, statement) if row is not None)


def _readable(path: Path, statement: str) -> Iterator[tuple[Any, ...] | None]:
    """The rows that can be read, one after the other by the number that they begin with; None for one that cannot."""
    try:
        connection = connect(str(path))
    except sqlite3.Error:
        return
    try:
        after = failures = 0
        while failures < MAX_FAILURES:
            try:
                row = connection.execute(statement, (after,)).fetchone()
            except sqlite3.Error:
                # Damaged pages fail one after the other; past them, the rest may be sound.
                after += 1
                failures += 1
                yield None
                continue
            if row is None:
                return
            yield row
            after, failures = row[0], 0
    finally:
        connection.close()


MAX_FAILURES = 1000
"""So many pieces in a row that cannot be read: there is nothing more to be had."""
