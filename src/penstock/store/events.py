"""What happened to flow runs, and what user code told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.core.runs import Event
from penstock.store.connection import Connection, chunks
from penstock.store.rows import EventRow, event
from penstock.store.sql import statements

MAX_HELD_BACK = 5000
"""So many events are written at once, however long the transaction is."""

_MANY = 5000
"""Of more than so many, the last are found soon by looking from the end."""


class Events:
    """Rows of ``event``.

    Those who follow all events remember the sequence of the last one they saw, so that sequences must
    become visible in order. Where several transactions run at once, one after the other writes its
    events: at its end, so that none waits for long.
    """

    __slots__ = ("_connection", "_held_back", "_sql", "were_written")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held_back: list[EventRow] = []
        self._sql = statements("events", connection.dialect)
        self.were_written = False
        """Whether this transaction has written any."""

    def append(self, rows: Sequence[EventRow]) -> None:
        """Keep what happened."""
        self._held_back.extend(rows)
        if len(self._held_back) > MAX_HELD_BACK:
            self.write()

    def write(self) -> None:
        """Write what `append` was called with. A transaction does this before it commits."""
        if self._held_back:
            self._connection.lock(["events"], at_once=False)
            self._connection.run_many(self._sql["append"], self._held_back)
            self._held_back = []
            self.were_written = True

    def latest(self) -> int:
        """The sequence of the last event; 0 if there is none."""
        return self._connection.rows(self._sql["latest"])[0][0] or 0

    def page(
        self,
        *,
        after: int = 0,
        limit: int,
        run_ids: tuple[str, ...] | None = None,
        name: str | None = None,
        since: int | None = None,
        tail: bool = False,
    ) -> list[Event]:
        """The first events that meet every condition after one of them, or with ``tail`` the last; oldest first."""
        self.write()
        if since is not None and run_ids is None and not after and not (tail and self._are_many_since(since)):
            first = self._connection.rows(self._sql["first_since"], since=since)[0][0]
            if first is None:
                return []
            after = first - 1
        statement = self._sql["tail" if tail else "page"]
        found = self._connection.rows(statement, after=after, limit=limit, run_ids=run_ids, event=name, since=since)
        return [event(row) for row in (reversed(found) if tail else found)]

    def _are_many_since(self, since: int) -> bool:
        return bool(self._connection.rows(self._sql["many_since"], since=since, many=_MANY))

    def forget(self, run_ids: Iterable[str]) -> None:
        """Delete the events of these flow runs."""
        self.write()
        for some in chunks(run_ids):
            self._connection.run(self._sql["forget"], run_ids=some)

    def forget_all(self) -> None:
        """Delete all events, before all is folded again."""
        self.write()
        self._connection.run(self._sql["forget_all"])
