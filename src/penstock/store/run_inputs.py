"""What runs that are paused wait for, and what they were given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import astuple

from penstock.store.connection import Connection, chunks
from penstock.store.rows import unpack
from penstock.store.sql import statements


class InputRow(msgspec.Struct, gc=False):
    """A row of ``run_input``. The fold changes it in place."""

    run_id: str
    key: str
    flow_run_id: str
    round: int
    asked_at: int
    deadline: int | None
    suspends: int
    message: str | None
    schema: bytes
    given_at: int | None
    given_by: str | None
    value: bytes | None

    def what(self) -> dict[str, Any]:
        """The JSON Schema of what is wanted; empty when nothing is."""
        return unpack(self.schema)

    def given(self) -> dict[str, Any]:
        """What was given."""
        return {} if self.value is None else unpack(self.value)


class RunInputs:
    """Rows of ``run_input``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("run_inputs", connection.dialect)

    def rows(self, run_id: str, keys: Iterable[str] | None = None) -> list[InputRow]:
        """All inputs of a root run and of the subflow runs in it, or those of these pauses."""
        given = None if keys is None else tuple(keys)
        if given == ():
            return []
        return [InputRow(*row) for row in self._connection.rows(self._sql["rows"], run_id=run_id, keys=given)]

    def save(self, rows: Iterable[InputRow]) -> None:
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def open(self, run_id: str) -> list[InputRow]:
        """What a root run, and the subflow runs in it, wait for now."""
        return [InputRow(*row) for row in self._connection.rows(self._sql["open"], run_id=run_id)]

    def overdue(self, now: int, limit: int) -> list[str]:
        """Suspended runs for which no input has come in time."""
        return [row[0] for row in self._connection.rows(self._sql["overdue"], now=now, limit=limit)]

    def forget(self, run_ids: Iterable[str]) -> None:
        for some in chunks(run_ids):
            self._connection.run(self._sql["forget"], run_ids=some)

    def forget_all(self) -> None:
        """Delete all inputs, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
