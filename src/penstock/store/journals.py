"""The event log: pieces of journals as they were folded, and how far each journal is."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import astuple

from penstock.store.connection import Connection
from penstock.store.rows import CursorRow, Segment
from penstock.store.sql import statements

_PAGE = 1000


class Journals:
    """Segments and cursors."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("journals", connection.dialect)

    def cursor(self, run_id: str, attempt: int, writer: str) -> CursorRow | None:
        """How far one journal is folded."""
        found = self._connection.rows(self._sql["cursor"], run_id=run_id, attempt=attempt, writer=writer)
        return CursorRow(*found[0]) if found else None

    def cursors(self, run_id: str) -> list[CursorRow]:
        """How far each of a run's journals is folded, oldest attempt first."""
        return [CursorRow(*row) for row in self._connection.rows(self._sql["cursors_of_run"], run_id=run_id)]

    def save_cursor(self, cursor: CursorRow) -> None:
        """A journal is folded up to here."""
        self._connection.run_many(self._sql["save_cursor"], [astuple(cursor)])

    def append(self, run_id: str, attempt: int, writer: str, start: int, data: bytes) -> None:
        """Keep the bytes of a piece, which starts at this offset of its journal."""
        row = (run_id, attempt, writer, start, start + len(data), data)
        self._connection.run_many(self._sql["append_segment"], [row])

    def segments(self, run_id: str, *, attempt: int | None = None, writer: str | None = None) -> list[Segment]:
        """The pieces of a run (or of one journal) in the order in which they were folded."""
        found = self._connection.rows(self._sql["segments_of_run"], run_id=run_id, attempt=attempt, writer=writer)
        return [Segment(*row) for row in found]

    def all_segments(self) -> Iterator[Segment]:
        """The pieces of all runs in the order in which they were folded."""
        after = 0
        while found := self._connection.rows(self._sql["next_segments"], after=after, limit=_PAGE):
            yield from (Segment(*row) for row in found)
            after = found[-1][0]

    def frames(self, segment: Segment) -> bytes:
        """The bytes of a piece."""
        return self._connection.rows(self._sql["frames"], sequence=segment.sequence)[0][0]

    def run_ids(self) -> Iterator[str]:
        """All runs that have journals in the store."""
        after = ""
        while found := self._connection.rows(self._sql["run_ids"], after=after, limit=_PAGE):
            yield from (row[0] for row in found)
            after = found[-1][0]

    def latest_attempt(self, run_id: str) -> int:
        """The number of the latest attempt of which something is kept; 0 if there is nothing."""
        return self._connection.rows(self._sql["latest_attempt"], run_id=run_id)[0][0] or 0

    def forget(self, run_id: str) -> None:
        """Delete all that is kept of a run's journals."""
        self._connection.run(self._sql["forget_segments"], run_id=run_id)
        self._connection.run(self._sql["forget_cursors"], run_id=run_id)

    def forget_all_cursors(self) -> None:
        """Delete what is known of how far any journal is folded, before all is folded again."""
        self._connection.run(self._sql["forget_all_cursors"])
