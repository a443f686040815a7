"""What happened to flow runs, and what user code told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.core.runs import Event
from penstock.store.connection import Connection, chunks
from penstock.store.rows import EventRow, event
from penstock.store.sql import statements


class Events:
    """Rows of ``event``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("events", connection.dialect)

    def append(self, rows: Sequence[EventRow]) -> None:
        """Keep what happened."""
        self._connection.run_many(self._sql["append"], rows)

    def page(
        self, *, after: int = 0, limit: int, run_ids: tuple[str, ...] | None = None, name: str | None = None
    ) -> list[Event]:
        """Events that meet every condition given after one of them, oldest first."""
        found = self._connection.rows(self._sql["page"], after=after, limit=limit, run_ids=run_ids, event=name)
        return [event(row) for row in found]

    def forget(self, run_ids: Iterable[str]) -> None:
        """Delete the events of these flow runs."""
        for some in chunks(run_ids):
            self._connection.run(self._sql["forget"], run_ids=some)

    def forget_all(self) -> None:
        """Delete all events, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
