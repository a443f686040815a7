"""What can be read of a damaged file of SQLite: of each table the rows, one by one.

A page that is damaged takes the rows on it along, and one that says where other pages lie the rows on those. All others
can be read, if they are asked for by themselves. A table has its rows by their numbers (``rowid``), and its keys apart
from them: so it is known which rows there are, and what is lost can be counted.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Self

from penstock.store import tables
from penstock.store.sqlite_connections import connect, prepared

ONE_BY_ONE = 1000
"""Where no key says which rows there are, so many numbers are tried before some are left out."""

_LARGEST = 1 << 62
_BEFORE_ALL = -1


class Gap(Enum):
    """What stands for that which cannot be read."""

    ROW = "row"
    ROWS = "rows"
    """One or more: nobody knows how many."""


class Damaged:
    """A damaged file, which nobody else uses meanwhile."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(str(path))
        # What can be read of the list of tables is used, if not all of it can be.
        self._connection.execute("PRAGMA writable_schema = ON")
        self._has_all_tables = False
        for _ in range(2):  # the first question fails where the list is damaged
            with suppress(sqlite3.Error):
                self._connection.execute("SELECT name FROM sqlite_master").fetchall()
                self._has_all_tables = True

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns that are known here and there, in the order of their values in `rows`."""
        try:
            found = [row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")]
        except sqlite3.Error:
            return ()
        return tuple(name for name in found if name in _types()[table])

    def rows(self, table: str) -> Iterator[tuple[Any, ...] | Gap]:
        """The rows of a table in the order of their numbers, and what stands for those that cannot be read.

        An older version may not have the table: then there are none.
        """
        columns = self.columns(table)
        if not columns:
            if not self._has_all_tables:
                yield Gap.ROWS
            return
        types = [_types()[table][name] for name in columns]
        text = (
            f"SELECT rowid, {', '.join(columns)} FROM {table} NOT INDEXED"  # noqa: S608  names of our own schema
            " WHERE rowid > ? ORDER BY rowid LIMIT ?"
        )
        most = size = tables.portion(table)
        after = _BEFORE_ALL
        places: _Places | None = None
        while True:
            try:
                found = self._connection.execute(text, (after, size)).fetchall()
            except sqlite3.Error:
                if size > 1:
                    size = 1  # those before the one that fails can be read
                    continue
                places = places or _Places(self._numbers(table))
                following, gap = places.beyond(after)
                if gap is not None:
                    yield gap
                if following is None:
                    return
                after = following
                continue
            if places is not None:
                places.go_on()
            for row in found:
                after = row[0]
                yield row[1:] if all(map(_fits, row[1:], types)) else Gap.ROW
            if len(found) < size:
                return
            size = min(size * 2, most)

    def counter(self, table: str) -> int:
        """The last number that was given to a row, as far as that is known."""
        try:
            found = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        except sqlite3.Error:
            return 0
        return found[0] if found and isinstance(found[0], int) and 0 <= found[0] < _LARGEST else 0

    def _numbers(self, table: str) -> list[int] | None:
        """The numbers of all rows, as the index of a key has them; None if none can be read."""
        with suppress(sqlite3.Error):
            for _, index, _, _, is_partial in self._connection.execute(f"PRAGMA index_list({table})").fetchall():
                if is_partial:
                    continue
                text = f"SELECT rowid FROM {table} INDEXED BY {index}"  # noqa: S608  names of our own schema
                with suppress(sqlite3.Error):
                    return sorted(row[0] for row in self._connection.execute(text).fetchall())
        return None

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Places:
    """Where to go on behind a row that cannot be read."""

    def __init__(self, known: list[int] | None) -> None:
        self._known = known
        self._failures = 0
        self._step = 1

    def beyond(self, after: int) -> tuple[int | None, Gap | None]:
        """The number of the row that is left out, if there may be others behind it; and what stands for it.

        Without a key it is not known which numbers there are. Then they are tried, at last in ever longer steps.
        """
        if self._known is not None:
            place = bisect_right(self._known, after)
            return (self._known[place], Gap.ROW) if place < len(self._known) else (None, None)
        self._failures += 1
        if self._failures > ONE_BY_ONE:
            self._step *= 2
        following = after + self._step
        return following if following < _LARGEST else None, Gap.ROWS if self._failures == 1 else None

    def go_on(self) -> None:
        """A row could be read."""
        self._failures, self._step = 0, 1


@cache
def _types() -> Mapping[str, Mapping[str, str]]:
    """The columns of all tables of this version, and what is kept in them."""
    with closing(prepared(":memory:")) as connection:
        return {
            table: {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
            for table in tables.names()
        }


def _fits(value: Any, declared: str) -> bool:
    """Whether a column can have the value. Whether there must be one, the table says."""
    return value is None or isinstance(value, _KINDS[declared])


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "TEXT": str,
    "VARCHAR(32)": str,
    "INTEGER": int,
    "BIGINT": int,
    "REAL": (float, int),
    "BLOB": bytes,
}
