"""What is done to the file of a store as a whole: checked, read though it is old, put aside, made anew."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from penstock import errors
from penstock.clock import Clock
from penstock.store.interface import SCHEMA_VERSION
from penstock.store.lock import WriterLock
from penstock.store.sqlite import SqliteStore
from penstock.store.sqlite_connections import check_version, connect_to_read, keep_copy, lock_path, version_of
from penstock.store.sqlite_errors import told

T = TypeVar("T")


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


def make_anew(path: Path, suffix: str, clock: Clock, fill: Callable[[SqliteStore, Path], T]) -> tuple[T, Path]:
    """Let a new store take the place of a damaged one, once ``fill(new, path)`` has put into it what there is.

    Returns what that returned, and where the damaged one lies now. Until then it stays in its place: whoever is
    interrupted can begin again. Raises `StoreBusy` while a process is writing it.
    """
    lock = WriterLock(lock_path(path), "making the store anew", wait=False)
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        _remove(unfinished)
        with SqliteStore.open(unfinished, write=True, clock=clock) as store:
            done = fill(store, path)
        target = _free(path, suffix, clock.now())
        _put_in_place(unfinished, path, target)
        return done, target
    finally:
        _remove(unfinished)
        lock.release()


def move_aside(path: Path, suffix: str, now: int) -> Path:
    """Move a database out of the way, with what belongs to it; says where it lies now.

    Raises `StoreBusy` while a process is writing it.
    """
    lock = WriterLock(lock_path(path), "moving the database aside", wait=False)
    try:
        target = _free(path, suffix, now)
        _move(path, target)
    finally:
        lock.release()
    return target


def _free(path: Path, suffix: str, now: int) -> Path:
    """Where there is nothing yet, beside the file."""
    target = path.with_name(path.name + suffix)
    return path.with_name(f"{path.name}{suffix}-{now}") if target.exists() else target


def _move(path: Path, target: Path) -> None:
    for ending in _FILES:
        found = path.with_name(path.name + ending)
        if found.exists():
            os.replace(found, target.with_name(target.name + ending))


def _put_in_place(new: Path, path: Path, target: Path) -> None:
    """Put a database in the place of another, which is at ``target`` then. At every moment, one is in its place."""
    for ending in _FILES:
        found = path.with_name(path.name + ending)
        if found.exists():
            _link(found, target.with_name(target.name + ending))
    for ending in _BESIDE:  # to the new one, they would be its own
        path.with_name(path.name + ending).unlink(missing_ok=True)
    os.replace(new, path)


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # not every file system has links
        shutil.copyfile(path, target)


def _remove(path: Path) -> None:
    for ending in _FILES:
        path.with_name(path.name + ending).unlink(missing_ok=True)
    lock_path(path).unlink(missing_ok=True)


_BESIDE = ("-shm", "-wal")
_FILES = (*_BESIDE, "")
"""What a database consists of, the file itself last."""
