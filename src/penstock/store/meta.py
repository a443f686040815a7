"""What is true of the store as a whole."""

from __future__ import annotations

from penstock.store.connection import Connection
from penstock.store.sql import statements


class Meta:
    """Values by name: the version of the schema."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("meta", connection.dialect)

    def value(self, name: str) -> str | None:
        """What is kept under the name."""
        found = self._connection.rows(self._sql["value"], name=name)
        return found[0][0] if found else None

    def put(self, name: str, value: str) -> None:
        """Keep a value under the name, in place of the one that was there."""
        self._connection.run(self._sql["put_value"], name=name, value=value)
