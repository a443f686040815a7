"""What runs published to be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import astuple

from penstock.store.connection import Connection, chunks
from penstock.store.rows import ArtifactRow
from penstock.store.sql import statements

NEWEST = 1 << 62


class PlacedArtifactRow(NamedTuple):
    """An artifact and its place in lists."""

    sequence: int
    row: ArtifactRow


class Artifacts:
    """Rows of ``artifact``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("artifacts", connection.dialect)

    def rows(self, ids: Iterable[str]) -> list[ArtifactRow]:
        """The artifacts of these ids, in no order."""
        statement = self._sql["rows"]
        return [ArtifactRow(*row[1:]) for some in chunks(ids) for row in self._connection.rows(statement, ids=some)]

    def save(self, rows: Iterable[ArtifactRow]) -> None:
        """Keep artifacts, in place of those of the same ids."""
        self._connection.run_many(self._sql["save"], [astuple(row) for row in rows])

    def page(
        self,
        *,
        before: int = NEWEST,
        limit: int,
        flow_run_ids: tuple[str, ...] | None = None,
        key: str | None = None,
        kind: str | None = None,
    ) -> list[PlacedArtifactRow]:
        """Artifacts that meet every condition given, newest first."""
        found = self._connection.rows(
            self._sql["page"], before=before, limit=limit, flow_run_ids=flow_run_ids, key=key, kind=kind
        )
        return [PlacedArtifactRow(row[0], ArtifactRow(*row[1:])) for row in found]

    def ids_that_begin_with(self, text: str, *, limit: int = 5) -> list[str]:
        """Ids of artifacts that begin like this."""
        stop = text + "\U0010ffff"
        return [row[0] for row in self._connection.rows(self._sql["ids_from"], start=text, stop=stop, limit=limit)]

    def keys(self, limit: int) -> list[str]:
        """The keys that artifacts have."""
        return [row[0] for row in self._connection.rows(self._sql["keys"], limit=limit)]

    def forget(self, flow_run_ids: Iterable[str]) -> None:
        """Delete the artifacts of these flow runs."""
        for some in chunks(flow_run_ids):
            self._connection.run(self._sql["forget"], flow_run_ids=some)

    def forget_all(self) -> None:
        """Delete all artifacts, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
