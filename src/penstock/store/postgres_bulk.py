"""Many rows in one statement: Postgres takes them as one value of JSON, several times as fast as one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from penstock.store.sql import Statement, statements

LEAST_ROWS = 8
"""Fewer are sent as quickly one by one."""

MAX_ROWS = 500
MAX_BYTES = 4 << 20
"""Of what is larger, the text would take longer than the statements that it saves."""

_INSERT = re.compile(
    r"INSERT INTO (\w+) \(([^)]*)\)\s+VALUES \(([^)]*)\)(?:\s+ON CONFLICT \(([^)]*)\))?(.*)", re.DOTALL
)
_CREATE = re.compile(r"CREATE TABLE (\w+) \(")
_COLUMN = re.compile(r"^    ([a-z]\w*) +(TEXT|BIGINT|BYTEA)\b", re.MULTILINE)


class Bulk(NamedTuple):
    """An INSERT of one row, made into one of any number: its one value is a list of objects with these keys."""

    text: str
    keys: tuple[str, ...]
    unique: tuple[int, ...]
    """Places in a row that tell it from others, where the statement must not meet a row twice."""


def portions(statement: Statement, rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[str, Sequence[tuple[Any, ...]]]]:
    """The rows in portions, each with its statement and value; an empty statement where they go one by one."""
    bulk = _bulk(statement.text) if len(rows) >= LEAST_ROWS else None
    if bulk is None:
        yield "", rows
        return
    for start in range(0, len(rows), MAX_ROWS):
        some = rows[start : start + MAX_ROWS]
        value = msgspec.json.encode([dict(zip(bulk.keys, row, strict=True)) for row in some])
        if len(value) > MAX_BYTES or _meets_a_row_twice(bulk, some):
            yield "", some
        else:
            yield bulk.text, [(value.decode(),)]


def _meets_a_row_twice(bulk: Bulk, rows: Sequence[tuple[Any, ...]]) -> bool:
    return bool(bulk.unique) and len({tuple(row[place] for place in bulk.unique) for row in rows}) < len(rows)


@cache
def _bulk(text: str) -> Bulk | None:
    """None for what is not an INSERT of values, all of which are texts, whole numbers or bytes."""
    found = _INSERT.fullmatch(text)
    if found is None:
        return None
    table, names, values, conflict, rest = found.groups()
    columns = [name.strip() for name in names.split(",")]
    types = _types().get(table, {})
    if [value.strip() for value in values.split(",")] != [f"${place}" for place in range(1, len(columns) + 1)]:
        return None
    if not all(column in types for column in columns):
        return None
    keys = tuple(f"c{place}" for place in range(len(columns)))
    # Bytes come as text in base 64.
    given = [(key, types[column]) for key, column in zip(keys, columns, strict=True)]
    taken = ", ".join(f"decode({key}, 'base64')" if type_ == "BYTEA" else key for key, type_ in given)
    typed = ", ".join(f"{key} {'TEXT' if type_ == 'BYTEA' else type_}" for key, type_ in given)
    head = f"INSERT INTO {table} ({names}) SELECT {taken} FROM json_to_recordset(CAST($1 AS JSON)) AS given ({typed})"  # noqa: S608  made of our own statement
    unique = [name.strip() for name in conflict.split(",")] if conflict else []
    told = f" ON CONFLICT ({conflict})" if conflict else ""
    return Bulk(f"{head}{told}{rest}", keys, tuple(columns.index(name) for name in unique))


@cache
def _types() -> dict[str, dict[str, str]]:
    """The types of columns, by table."""
    texts = [statement.text for statement in statements("schema", "postgres").values()]
    return {found[1]: dict(_COLUMN.findall(text)) for text in texts if (found := _CREATE.match(text))}
