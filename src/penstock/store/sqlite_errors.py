"""What SQLite raises, told as Penstock's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from penstock import errors


@contextmanager
def told(path: Path | None, on_lost: Callable[[str], None] | None = None) -> Generator[None]:
    """Raise SQLite's errors as Penstock's."""
    try:
        yield
    except sqlite3.Error as error:
        raise_ours(error, path, on_lost)


def raise_ours(error: sqlite3.Error, path: Path | None, on_lost: Callable[[str], None] | None = None) -> NoReturn:
    code = primary_code(error)
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
    if code in UNWRITABLE:
        raise errors.StoreError(
            f"The store cannot be opened or written ({error}): `{path}`",
            hint="check the owner and permissions of the home, or set PENSTOCK_HOME to one that can be written",
        ) from error
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise errors.StoreBusy(f"Another process is using the store ({error}): `{path}`") from error
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        raise errors.ImpossibleValue(f"The store does not take this ({error}): `{path}`") from error
    if code == sqlite3.SQLITE_IOERR and on_lost is not None:
        on_lost(str(error))
    raise errors.StoreError(f"The store cannot be used ({error}): `{path}`") from error


UNWRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's code without the finer distinction; -1 where the driver itself complains."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF if hasattr(error, "sqlite_errorcode") else -1
