"""All tables as they are, for copying a whole store into another database."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from penstock.store.connection import Connection
from penstock.store.sql import Statement, statements

OF_THE_STORE = frozenset({"meta", "alembic_version"})
"""The tables with what is true of a store as a whole."""

_PORTION = 500
_PORTION_OF_LARGE = 8
_LARGE = frozenset({"journal_segment", "kept_file_part"})
"""Whose rows may be megabytes each."""

_CREATE = re.compile(r"CREATE TABLE (\w+) \(")
_INSERT = re.compile(r"INSERT INTO (\w+) \(")
_COUNTED = re.compile(r"^    (\w+) +INTEGER PRIMARY KEY AUTOINCREMENT", re.MULTILINE)


class Tables:
    """Rows of any table, by its name."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, table: str) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        """All rows, in portions that fit the memory, each with the names of its columns."""
        yield from self._connection.stream(self._about(table, "SELECT * FROM {table}"), portion(table))

    def load(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, none of which is there."""
        self._connection.load(_known(table), columns, rows)

    def put_first_rows(self) -> None:
        """Put back what the schema puts into a new store, as far as it is not there."""
        dialect = self._connection.dialect
        for name, statement in statements("schema", dialect).items():
            if _INSERT.match(statement.text):
                self._connection.run(Statement(name, [f"{statement.text} ON CONFLICT DO NOTHING"], dialect))

    def count(self, table: str) -> int:
        """How many rows there are."""
        return self._connection.rows(self._about(table, "SELECT COUNT(*) FROM {table}"))[0][0]

    def has_more_than(self, table: str, number: int) -> bool:
        """Whether there are more rows than that."""
        return bool(self._connection.rows(self._about(table, "SELECT 1 FROM {table} LIMIT 1 OFFSET {number}", number)))

    def empty(self, table: str) -> None:
        """Delete all rows."""
        self._connection.run(self._about(table, "DELETE FROM {table}"))

    def counter(self, table: str) -> int:
        """The last number that was given to a row of a table that numbers its rows, be that row still there or not."""
        found = self._connection.rows(self._about(table, _COUNTER[self._connection.dialect]))
        return found[0][0] if found else 0

    def count_on_from(self, table: str, number: int) -> None:
        """The next row gets a higher number than this."""
        for text in _COUNT_ON[self._connection.dialect]:
            self._connection.rows(self._about(table, text, number))

    def size(self) -> int:
        """How many bytes all of the database takes."""
        text = _SIZE[self._connection.dialect]
        return self._connection.rows(Statement("size", [text], self._connection.dialect))[0][0]

    def _about(self, table: str, text: str, number: int = 0) -> Statement:
        return Statement(table, [text.format(table=_known(table), number=number)], self._connection.dialect)


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgres": "SELECT pg_database_size(current_database())",
}
_COUNTER = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = '{table}'",
    "postgres": "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_sequence_seq",
}
_COUNT_ON = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = '{table}'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {number})",
    ),
    "postgres": ("SELECT setval('{table}_sequence_seq', GREATEST({number}, 1), {number} > 0)",),
}


def portion(table: str) -> int:
    """So many rows of a table fit the memory."""
    return _PORTION_OF_LARGE if table in _LARGE else _PORTION


@cache
def names() -> tuple[str, ...]:
    """All tables of a store, in the order of the schema."""
    return tuple(found[1] for statement in statements("schema").values() if (found := _CREATE.match(statement.text)))


@cache
def at_first() -> Counter[str]:
    """How many rows the tables of a new store have, as far as the schema puts some there."""
    return Counter(found[1] for statement in statements("schema").values() if (found := _INSERT.match(statement.text)))


@cache
def counted() -> tuple[str, ...]:
    """The tables that number their rows."""
    found: list[str] = []
    for statement in statements("schema").values():
        named = _CREATE.match(statement.text)
        counter = _COUNTED.search(statement.text)
        if named and counter:
            assert counter[1] == "sequence"
            found.append(named[1])
    return tuple(found)


def _known(table: str) -> str:
    """The name, which becomes a part of a statement: only one of our own may."""
    assert table in names()
    return table
