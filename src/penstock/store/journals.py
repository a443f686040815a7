"""The event log: pieces of journals as they were folded, and how far each journal is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import astuple

from penstock.store.connection import Connection, chunks
from penstock.store.rows import CursorRow, FlowRow, Segment
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

    def cursors_and_runs(self, journals: Iterable[tuple[str, int, str]]) -> tuple[list[CursorRow], list[FlowRow]]:
        """How far these journals are folded, each named by run, attempt and writer; and their runs. In no order."""
        wanted = set(journals)
        of_runs = statements("flow_runs", self._connection.dialect)["rows"]
        cursors: list[CursorRow] = []
        runs: list[FlowRow] = []
        for some in chunks({run_id for run_id, _, _ in wanted}):
            found, rows = self._connection.rows_of_each(
                (self._sql["cursors_of_runs"], {"ids": some}), (of_runs, {"ids": some})
            )
            cursors += [CursorRow(*row) for row in found]
            runs += [FlowRow(*row) for row in rows]
        return [row for row in cursors if (row.run_id, row.attempt, row.writer) in wanted], runs

    def save_cursors(self, cursors: Iterable[CursorRow]) -> None:
        """Journals are folded up to here."""
        self._connection.run_many(self._sql["save_cursor"], [astuple(row) for row in cursors])

    def append(self, run_id: str, attempt: int, writer: str, start: int, data: bytes) -> None:
        """Keep the bytes of a piece, which starts at this offset of its journal."""
        self.append_all([(run_id, attempt, writer, start, data)])

    def append_all(self, pieces: Iterable[tuple[str, int, str, int, bytes]]) -> None:
        """Keep the bytes of pieces: each a run, attempt, writer, the offset where it starts, and its bytes."""
        rows = [(*journal, start, start + len(data), data) for *journal, start, data in pieces]
        self._connection.run_many(self._sql["append_segment"], rows)

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

    def keep_others_from_folding(self) -> None:
        """Wait for the end of all transactions that fold, and let others begin when this one has ended."""
        self._connection.run(self._sql["keep_others_from_folding"])

    def forget_all_cursors(self) -> None:
        """Delete what is known of how far any journal is folded, before all is folded again."""
        self._connection.run(self._sql["forget_all_cursors"])
