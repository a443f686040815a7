"""Keys to the API."""

from __future__ import annotations

import msgspec
from msgspec.structs import astuple

from penstock.core.access import ApiKey, Permission
from penstock.store.connection import Connection
from penstock.store.rows import texts_in
from penstock.store.sql import statements


class ApiKeyRow(msgspec.Struct, gc=False):
    """A row of ``api_key``."""

    id: str
    name: str
    digest: bytes
    permissions: str
    work_pool: str | None
    created_at: int
    expires_at: int | None
    used_at: int | None

    def view(self) -> ApiKey:
        return ApiKey(
            id=self.id,
            name=self.name,
            permissions=tuple(Permission(each) for each in texts_in(self.permissions)),
            pool=self.work_pool,
            created_at=self.created_at,
            expires_at=self.expires_at,
            used_at=self.used_at,
        )


class ApiKeys:
    """Rows of ``api_key``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("api_keys", connection.dialect)

    def add(self, row: ApiKeyRow) -> None:
        """Let somebody in."""
        self._connection.run_many(self._sql["add"], [astuple(row)])

    def row(self, key_id: str) -> ApiKeyRow | None:
        """The key of this id."""
        found = self._connection.rows(self._sql["row"], id=key_id)
        return ApiKeyRow(*found[0]) if found else None

    def all(self) -> list[ApiKeyRow]:
        """All keys by name."""
        return [ApiKeyRow(*row) for row in self._connection.rows(self._sql["all"])]

    def use(self, key_id: str, at: int) -> None:
        """The key was shown."""
        self._connection.run(self._sql["use"], id=key_id, at=at)

    def forget(self, key_id: str) -> None:
        """Let nobody in with this key any more."""
        self._connection.run(self._sql["forget"], id=key_id)
