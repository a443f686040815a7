"""Lines of runs' logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.core.runs import LogEntry
from penstock.store.connection import Connection, chunks
from penstock.store.rows import LogRow, log_entry
from penstock.store.sql import statements


class Logs:
    """Rows of ``log``."""

    __slots__ = ("_connection", "_sql")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = statements("logs", connection.dialect)

    def append(self, rows: Sequence[LogRow]) -> None:
        """Keep lines."""
        self._connection.run_many(self._sql["append"], rows)

    def page(
        self,
        flow_run_ids: Iterable[str],
        *,
        after: int = 0,
        limit: int,
        level: int | None = None,
        task: str | None = None,
        since: int | None = None,
        tail: bool = False,
    ) -> list[LogEntry]:
        """The first lines of flow runs after one of them, or with ``tail`` the last; oldest first.

        ``task`` is how the id of a task run begins, its name, or the name of its task.
        """
        statement = self._sql["tail" if tail else "page"]
        end = None if task is None else task + "\U0010ffff"
        found = [
            row
            for some in chunks(flow_run_ids)
            for row in self._connection.rows(
                statement,
                flow_run_ids=some,
                after=after,
                limit=limit,
                level=level,
                task=task,
                task_end=end,
                since=since,
            )
        ]
        found.sort()
        return [log_entry(row) for row in (found[-limit:] if tail else found[:limit])]

    def forget(self, flow_run_ids: Iterable[str]) -> None:
        """Delete the lines of these flow runs."""
        for some in chunks(flow_run_ids):
            self._connection.run(self._sql["forget"], flow_run_ids=some)

    def forget_all(self) -> None:
        """Delete all lines, before all is folded again."""
        self._connection.run(self._sql["forget_all"])
